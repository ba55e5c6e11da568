/**
 * Calls of an AWS emulator on loopback, signed (SigV4) or not, and how values are
 * written for its table. It must not know which services there are, nor the product.
 */
import { request } from "node:http";

import { sign } from "aws4";

import type { Json } from "../support/assembly";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Call {
  readonly method: string;
  /** With the query, whose names and values are letters and digits. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  /** With names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** Null where it is no JSON. */
  readonly body: Json;
}

export interface Place {
  /** Where the emulator is. */
  readonly endpoint: string;
  /** As the caller addresses it, if it is not the endpoint itself. */
  readonly host?: string;
  readonly region: string;
}

/** A call of a service: signed for it with keys, and not at all without. */
export async function call(
  { endpoint, host, region }: Place,
  service: string,
  asked: Call,
  keys?: Keys,
): Promise<Answer> {
  const { hostname, port, host: itself } = new URL(endpoint);
  const { body = "" } = asked;
  const bare: Record<string, string> = {
    ...asked.headers,
    host: host ?? itself,
    // With a DELETE node would send a body without it.
    ...(body !== "" && { "content-length": String(Buffer.byteLength(body)) }),
  };
  const { method, path } = asked;
  const unsigned = { service, region, host: host ?? itself, method, path, headers: bare, body };
  const { headers } = keys === undefined ? unsigned : sign(unsigned, keys);
  return new Promise((resolve, reject) => {
    const sent = request(
      { hostname, port, method, path, headers },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        answer.once("error", reject);
        answer.once("end", () => {
          const { statusCode: status = 0, headers: told } = answer;
          resolve({ status, headers: told, text, body: json(text) });
        });
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

function json(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

/** A value as DynamoDB writes it. */
export function attribute(value: Json): Json {
  if (value === null) return { NULL: true };
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  if (typeof value === "boolean") return { BOOL: value };
  if (Array.isArray(value)) return { L: (value as readonly Json[]).map(attribute) };
  return { M: attributes(value as { readonly [key: string]: Json }) };
}

export function attributes(values: { readonly [key: string]: Json }): Record<string, Json> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, attribute(value)]));
}
