/**
 * A Parameter Store, buckets and stacks on loopback, for tests: ministack, which `./dev`
 * installs. It must not know what is stored.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";

import { vi } from "vitest";

export interface Ministack {
  /** What a program needs to find it. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Where the program is. A machine that has none has not been readied for the tests. */
function ministackProgram(): string {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folders = [
    join(cache, "recorder", "python", "bin"),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  const program = folders.map((folder) => join(folder, "ministack")).find(isExecutable);
  if (program === undefined) throw new Error("ministack is missing: install it with ./dev setup");
  return program;
}

export interface MinistackOptions {
  readonly variables?: Readonly<Record<string, string>>;
  /** A program in Python that starts it in place of its own. */
  readonly launcher?: string;
}

export async function startMinistack({
  variables,
  launcher,
}: MinistackOptions = {}): Promise<Ministack> {
  const program = ministackProgram();
  const folder = mkdtempSync(join(tmpdir(), "ministack-"));
  const port = await freePort();
  // The python that stands beside it has what it is made of.
  const python = join(dirname(program), "python3");
  const command = launcher === undefined ? [program] : [python, copied(launcher, folder)];
  const server = spawn(command[0] ?? "", command.slice(1), {
    cwd: folder,
    env: {
      BIND_HOST: "127.0.0.1",
      GATEWAY_PORT: String(port),
      HOME: folder,
      // Else it listens on a fixed port of all addresses.
      IOT_MTLS_ENABLED: "0",
      LOG_LEVEL: "WARNING",
      PATH: process.env["PATH"],
      // The keys of user pools, which else are in one place for all.
      STATE_DIR: join(folder, "state"),
      TMPDIR: folder,
      ...variables,
    },
    stdio: "ignore",
  });
  const ended = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  const endpoint = `http://127.0.0.1:${port}`;
  const ready = vi.waitFor(
    async () => {
      const answer = await fetch(`${endpoint}/_ministack/ready`);
      if (!answer.ok) throw new Error(`ministack is not ready: ${answer.status}`);
    },
    { timeout: 60_000, interval: 100 },
  );
  const stop = async (): Promise<void> => {
    server.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.race([
      ready,
      ended.then(() => Promise.reject(new Error("ministack ended before it was ready"))),
    ]);
  } catch (error) {
    // Whatever it still waits for is of no interest.
    ready.catch(() => undefined);
    await stop();
    throw error;
  }
  return {
    environment: {
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test-secret-key",
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: "us-east-1",
    },
    stop,
  };
}

/** Not under its own name, which may be the package's. */
function copied(launcher: string, folder: string): string {
  const copy = join(folder, "launcher.py");
  copyFileSync(launcher, copy);
  return copy;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (typeof address === "object" && address !== null) resolve(address.port);
        else reject(new Error("a listening server has no port"));
      });
    });
  });
}
