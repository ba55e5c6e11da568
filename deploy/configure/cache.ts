// The file beside the stacks that holds what was configured last, by path.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { NOT_DEFINED, hierarchy, parameters, type Values } from "./parameters";

export const CACHE_FILE = fileURLToPath(new URL("../config.cache.json", import.meta.url));

/** Nothing if there is no such file. */
export function readCache(file: string): Values | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  return parse(text, file);
}

export function writeCache(file: string, values: Values): void {
  const all = parameters.map(({ name }) => [`${hierarchy}${name}`, values[name] ?? NOT_DEFINED]);
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(all), undefined, 2)}\n`);
}

export function removeCache(file: string): void {
  rmSync(file, { force: true });
}

function parse(text: string, file: string): Values {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${file} is not JSON; make it anew with: npm run configure`, { cause });
  }
  if (!isValues(found)) {
    throw new Error(`${file} is not an object of texts; make it anew with: npm run configure`);
  }
  return found;
}

function isValues(found: unknown): found is Values {
  return (
    typeof found === "object" &&
    found !== null &&
    !Array.isArray(found) &&
    Object.values(found).every((value) => typeof value === "string")
  );
}
