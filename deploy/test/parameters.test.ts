/** Which parameters a synthesis takes, and when it does not go on. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findParameters, type Places } from "../lib/parameters";

const folder = mkdtempSync(join(tmpdir(), "recorder-parameters-"));
const [named, cache, example, missing] = ["named", "cache", "example", "missing"].map((name) =>
  join(folder, name),
) as [string, string, string, string];
for (const file of [named, cache, example]) {
  writeFileSync(file, JSON.stringify({ "/VideoCallEscalation/from": file }));
}

function find(places: Partial<Places>) {
  return findParameters({
    cache: missing,
    example,
    hasAccount: true,
    stored: () => Promise.resolve({ "/VideoCallEscalation/from": "stored" }),
    say: () => undefined,
    ...places,
  });
}

test("a file that is named goes before everything", async () => {
  expect(await find({ named, cache })).toEqual({ "/VideoCallEscalation/from": named });
  await expect(find({ named: missing, cache })).rejects.toThrow(`${missing} is not there`);
});

test("then what was configured on this machine, then what is stored", async () => {
  expect(await find({ cache })).toEqual({ "/VideoCallEscalation/from": cache });
  expect(await find({})).toEqual({ "/VideoCallEscalation/from": "stored" });
});

test("with an account nothing is made up", async () => {
  await expect(find({ stored: () => Promise.resolve(undefined) })).rejects.toThrow(
    "npm run configure",
  );
});

test("without an account nobody is asked, and the example is named as such", async () => {
  const said: string[] = [];
  const found = await find({
    hasAccount: false,
    stored: () => Promise.reject(new Error("asked")),
    say: (line) => said.push(line),
  });
  expect(found).toEqual({ "/VideoCallEscalation/from": example });
  expect(said).toHaveLength(1);
  expect(said[0]).toContain(example);
});
