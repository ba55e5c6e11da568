// What is written on a tile. Names and ids come from strangers: what is returned
// here is one short line of text, and is only ever used as text.

/** Characters of a name that are kept; the tile shows as many as fit. */
const LONGEST = 120;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The name of an attendee: looked up, else the display part of the external id. */
export function displayName(
  attendeeId: string,
  externalUserId: string,
  names: Readonly<Record<string, string>>,
): string {
  const known = lookUp(names, attendeeId) ?? lookUp(names, externalUserId);
  const display = externalUserId.slice(externalUserId.lastIndexOf("#") + 1);
  const name = oneLine(known ?? display);
  return name === "" || UUID.test(name) ? "Guest" : name;
}

function lookUp(names: Readonly<Record<string, string>>, id: string): string | undefined {
  return Object.hasOwn(names, id) ? names[id] : undefined;
}

/** Without control characters, which could turn the writing of the whole label. */
export function oneLine(text: string): string {
  const characters = [...text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, " ").trim()];
  return characters.slice(0, LONGEST).join("");
}

/** One or two letters for a tile without a picture. */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letter = (word: string | undefined) => [...(word ?? "")].find((c) => /[\p{L}\p{N}]/u.test(c)) ?? "";
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  return (letter(words[0]) + letter(last)).toUpperCase() || "?";
}
