// The line to the recorder: a WebSocket of the page's own origin. It must not know
// what the messages mean. Without a recorder nothing is sent.

import { type Advice, type Message, VERSION } from "./protocol";

const RETRY_MS = 500;

export interface Worker {
  send(message: Message): void;
}

export const NOBODY: Worker = { send: () => undefined };

/**
 * `snapshot` is what a recorder is told that the page has to connect to anew; what it says
 * itself is for `advised`.
 */
export function connect(token: string, snapshot: () => Message[], advised: (advice: Advice) => void): Worker {
  let waiting: Message[] = [];
  let socket: WebSocket | undefined;
  const open = (isFirst: boolean): void => {
    const address = new URL(`/worker/${encodeURIComponent(token)}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = "";
    const opening = new WebSocket(address);
    opening.onopen = () => {
      socket = opening;
      const first: Message[] = [{ type: "hello", version: VERSION }];
      const messages = isFirst ? waiting : snapshot();
      waiting = [];
      for (const message of [...first, ...messages]) {
        opening.send(JSON.stringify(message));
      }
    };
    opening.onmessage = ({ data }) => advised(JSON.parse(data as string) as Advice);
    opening.onclose = () => {
      const hasBeenOpen = socket === opening;
      socket = undefined;
      setTimeout(() => open(isFirst && !hasBeenOpen), RETRY_MS);
    };
  };
  open(true);
  return {
    send: (message) => {
      if (socket) {
        socket.send(JSON.stringify(message));
      } else {
        waiting.push(message);
      }
    },
  };
}
