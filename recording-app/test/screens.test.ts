// The layouts in a real Firefox: where each tile is, what is on it, and that nothing
// sticks out. The screenshots are kept in dist-screens/ for people to look at.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { PNG } from "pngjs";
import { createServer, type ViteDevServer } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const SIZE = { width: 1920, height: 1080 };
const HANGS_MS = 60_000;

interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
  label: { right: number; bottom: number; height: number; text: string };
  picture: boolean;
}

let vite: ViteDevServer;
let driver: ChildProcess;
let session: string | undefined;

/** One WebDriver command. */
async function command(method: "GET" | "POST" | "DELETE", address: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(address, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const { value } = (await answer.json()) as { value: unknown };
  if (!answer.ok) {
    throw new Error(JSON.stringify(value));
  }
  return value;
}

beforeAll(async () => {
  vite = await createServer({ server: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  await vite.listen();
  driver = spawn("geckodriver", ["--host", "127.0.0.1", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise<string>((resolve, reject) => {
    driver.once("error", () => reject(new Error("geckodriver cannot be started: run ./dev setup")));
    driver.once("exit", () => reject(new Error("geckodriver has ended")));
    driver.stdout?.on("data", (data: Buffer) => {
      const [, found] = /Listening on (\S+)/.exec(data.toString()) ?? [];
      if (found) {
        resolve(`http://${found}`);
      }
    });
  });
  const options = {
    binary: "/usr/bin/firefox-esr",
    args: ["--headless", `--width=${SIZE.width}`, `--height=${SIZE.height}`],
    prefs: { "media.autoplay.default": 0 },
  };
  const capabilities = { alwaysMatch: { "moz:firefoxOptions": options } };
  const started = (await command("POST", `${address}/session`, { capabilities })) as { sessionId: string };
  session = `${address}/session/${started.sessionId}`;
  // The window's frame is not the page's.
  const inner = (await run("return [outerWidth - innerWidth, outerHeight - innerHeight]")) as [number, number];
  await command("POST", `${session}/window/rect`, {
    width: SIZE.width + inner[0],
    height: SIZE.height + inner[1],
  });
}, HANGS_MS);

afterAll(async () => {
  if (session) {
    await command("DELETE", session);
  }
  driver.kill();
  await vite.close();
});

function run(script: string): Promise<unknown> {
  return command("POST", `${session}/execute/sync`, { script, args: [] });
}

const BOXES = `return [...document.querySelectorAll('.tile')].map((tile) => {
  const { x, y, width, height } = tile.getBoundingClientRect();
  const label = tile.querySelector('.label');
  const box = label.getBoundingClientRect();
  return { id: tile.dataset.id, x, y, width, height, picture: !tile.querySelector('video').hidden,
    label: { right: box.right, bottom: box.bottom, height: box.height, text: label.textContent } };
})`;

async function shown(name: string, query: string): Promise<{ boxes: Box[]; image: PNG }> {
  const port = (vite.httpServer?.address() as { port: number }).port;
  await command("POST", `${session}/url`, { url: `http://127.0.0.1:${port}/test/stage.html?${query}` });
  const deadline = Date.now() + HANGS_MS / 2;
  while ((await command("GET", `${session}/title`)) !== "ready") {
    expect(Date.now(), `${name} shows all its pictures`).toBeLessThan(deadline);
  }
  const boxes = (await run(BOXES)) as Box[];
  const image = Buffer.from((await command("GET", `${session}/screenshot`)) as string, "base64");
  mkdirSync("dist-screens", { recursive: true });
  writeFileSync(`dist-screens/${name}.png`, image);
  return { boxes, image: PNG.sync.read(image) };
}

function pixel(image: PNG, x: number, y: number): number[] {
  const at = (Math.round(y) * image.width + Math.round(x)) * 4;
  return [...image.data.subarray(at, at + 3)];
}

/** What the stage's hsl() comes to. */
function colour(index: number): number[] {
  const hue = (index * 47) % 360;
  const f = (n: number): number => {
    const k = (n + hue / 30) % 12;
    return 0.45 - 0.6 * 0.45 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return [f(0), f(8), f(4)].map((value) => Math.round(value * 255));
}

function isClose(seen: number[], expected: number[]): boolean {
  return seen.every((value, index) => Math.abs(value - (expected[index] ?? 0)) < 30);
}

function check(boxes: Box[], image: PNG): void {
  expect([image.width, image.height]).toEqual([SIZE.width, SIZE.height]);
  for (const box of boxes) {
    expect(box.x >= 0 && box.y >= 0, JSON.stringify(box)).toBe(true);
    expect(box.x + box.width <= SIZE.width && box.y + box.height <= SIZE.height, JSON.stringify(box)).toBe(true);
    // The label stays on its tile, in one line.
    expect(box.label.right).toBeLessThanOrEqual(box.x + box.width);
    expect(box.label.bottom).toBeLessThanOrEqual(box.y + box.height);
    expect(box.label.height).toBeLessThan(50);
    const index = box.id.endsWith("#content") ? 9 : Number(box.id.slice(1));
    if (box.picture && index !== 3) {
      // Near all four corners: nothing of the picture is cropped, and nothing is black.
      for (const [across, down] of [
        [0.1, 0.2],
        [0.9, 0.2],
        [0.9, 0.85],
        [0.4, 0.4],
      ] as const) {
        const seen = pixel(image, box.x + box.width * across, box.y + box.height * down);
        expect(isClose(seen, colour(index)), `${box.id} shows ${seen}, not ${colour(index)}`).toBe(true);
      }
      const middle = pixel(image, box.x + box.width / 2, box.y + box.height / 2);
      expect(isClose(middle, [255, 255, 255]), `${box.id} has its mark in the middle: ${middle}`).toBe(true);
    }
  }
}

describe("screens", () => {
  for (const people of [1, 2, 4, 9, 16, 25]) {
    test(`${people} people`, { timeout: HANGS_MS }, async () => {
      const { boxes, image } = await shown(`grid-${people}`, `people=${people}`);
      expect(boxes).toHaveLength(people);
      check(boxes, image);
    });
  }

  test("a shared screen with four people", { timeout: HANGS_MS }, async () => {
    const { boxes, image } = await shown("share-4", "people=4&share=1");
    expect(boxes).toHaveLength(5);
    check(boxes, image);
    expect(boxes.find((box) => box.id === "p0#content")?.width).toBeGreaterThan(1400);
  });

  test("the speaker view with five people", { timeout: HANGS_MS }, async () => {
    const { boxes, image } = await shown("speaker-5", "people=5&mode=speaker");
    check(boxes, image);
    expect(boxes.find((box) => box.id === "p2")?.width).toBeGreaterThan(1400);
  });

  test("people without pictures, and a hostile name", { timeout: HANGS_MS }, async () => {
    const name = encodeURIComponent(`<h1 style="position:fixed">\u202e مرحبا 👩‍💻${"x".repeat(10_000)}`);
    const { boxes, image } = await shown("names", `people=4&silent=3&name=${name}`);
    check(boxes, image);
    expect(boxes[0]?.label.text.startsWith("<h1")).toBe(true);
    expect(await run("return document.querySelectorAll('h1').length")).toBe(0);
  });
});
