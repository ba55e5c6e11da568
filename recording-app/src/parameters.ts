// What the page was given in its address. Everything is untrusted text; join data
// holds a token and goes nowhere but to the SDK.

import type { Mode } from "./layout";

export interface Parameters {
  meeting: object;
  attendee: object;
  names: Record<string, string>;
  mode: Mode;
  title: string | undefined;
  clock: boolean;
  theme: "dark" | "light";
  /** Where the recorder listens; nobody does if there is none. */
  worker: string | undefined;
}

export class ParameterError extends Error {}

export function parameters(search: string): Parameters {
  const query = new URLSearchParams(search);
  return {
    meeting: unwrapped(needed(query, "chimeMeetingData"), "Meeting"),
    attendee: unwrapped(needed(query, "chimeAttendeeData"), "Attendee"),
    names: query.has("names") ? texts(needed(query, "names")) : {},
    mode: oneOf(query, "layout", ["grid", "speaker"]),
    title: query.get("title") ?? undefined,
    clock: oneOf(query, "clock", ["false", "true"]) === "true",
    theme: oneOf(query, "theme", ["dark", "light"]),
    worker: query.get("worker") ?? undefined,
  };
}

/** The first is the default. */
function oneOf<T extends string>(query: URLSearchParams, name: string, values: [T, ...T[]]): T {
  const given = query.get(name);
  if (given === null) {
    return values[0];
  }
  const value = values.find((value) => value === given);
  if (value === undefined) {
    throw new ParameterError(`${name} must be one of ${values.join(", ")}`);
  }
  return value;
}

/** A JSON object in base64. */
function needed(query: URLSearchParams, name: string): Record<string, unknown> {
  const text = query.get(name);
  if (text === null) {
    throw new ParameterError(`${name} is missing from the page's address`);
  }
  let value: unknown;
  try {
    value = JSON.parse(utf8(text));
  } catch {
    // Not the text: it may hold a token.
    throw new ParameterError(`${name} is not the base64 of UTF-8 JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ParameterError(`${name} is not a JSON object`);
  }
  return value as Record<string, unknown>;
}

/**
 * Takes what people send: a plus sign that an unescaped address turned into a blank,
 * the other alphabet, no padding.
 */
function utf8(base64: string): string {
  const standard = base64.replace(/ /g, "+").replace(/-/g, "+").replace(/_/g, "/").replace(/=+$/, "");
  const bytes = Uint8Array.from(atob(standard), (character) => character.charCodeAt(0));
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function unwrapped(value: Record<string, unknown>, name: string): object {
  const inner = value[name];
  return typeof inner === "object" && inner !== null ? inner : value;
}

function texts(value: Record<string, unknown>): Record<string, string> {
  const entries = Object.entries(value).filter(([, text]) => typeof text === "string");
  return Object.fromEntries(entries) as Record<string, string>;
}
