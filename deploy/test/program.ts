// Runs a program of configure/ as a person would, and hears what it says.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const DEPLOY = fileURLToPath(new URL("..", import.meta.url));

/** No credentials of this machine are seen, nor looked for in the network. */
const NO_AWS = {
  AWS_CONFIG_FILE: "/nowhere",
  AWS_EC2_METADATA_DISABLED: "true",
  AWS_SHARED_CREDENTIALS_FILE: "/nowhere",
  // The SDK warns of a node that it will leave behind.
  NODE_NO_WARNINGS: "1",
};

export function run(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  input = "",
): Promise<Said> {
  const child = spawn(process.execPath, ["--import", "tsx", program, ...args], {
    cwd: DEPLOY,
    env: { PATH: process.env["PATH"], ...NO_AWS, ...environment },
  });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  // It may end without having read its input.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
  });
}
