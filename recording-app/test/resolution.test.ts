import { expect, test } from "vitest";
import type { VideoStreamIndex } from "amazon-chime-sdk-js";
import { choose, type Encoding, FittingPolicy } from "../src/resolution";

const camera = (attendeeId: string, groupId: number): Encoding[] =>
  [200, 600, 1500].map((maxBitrateKbps, n) => ({ attendeeId, groupId, streamId: groupId * 10 + n, maxBitrateKbps }));

test("each tile gets the encoding that fits it", () => {
  const encodings = [...camera("a", 1), ...camera("b", 2), ...camera("c", 3)];
  const widths = new Map([
    ["a", 960],
    ["b", 480],
    ["c", 300],
  ]);
  expect(choose(encodings, widths, false)).toEqual([12, 21, 30]);
  expect(choose(encodings.toReversed(), widths, false).toSorted()).toEqual([12, 21, 30]);
});

test("where processors are short nothing is received that is larger than its tile", () => {
  for (const [width, usual, sparing] of [
    [1896, 12, 12],
    [1180, 12, 12],
    [928, 12, 11],
    [624, 11, 11],
    [465, 11, 10],
    [321, 11, 10],
    [320, 10, 10],
  ] as const) {
    const widths = new Map([["a", width]]);
    expect(choose(camera("a", 1), widths, false), `${width}`).toEqual([usual]);
    expect(choose(camera("a", 1), widths, true), `${width}`).toEqual([sparing]);
  }
});

test("of several groups of an attendee only the latest counts", () => {
  const encodings = [...camera("a", 9), ...camera("a", 4)];
  expect(choose(encodings, new Map([["a", 1000]]), false)).toEqual([92]);
});

test("a single encoding is always received", () => {
  const large = { attendeeId: "b", groupId: 5, streamId: 50, maxBitrateKbps: 4000 };
  expect(choose([large], new Map([["b", 100]]), false)).toEqual([50]);
});

test("a large tile gets the best there is, and one of medium size no small picture where none is in the middle", () => {
  const sent = (rates: number[]): Encoding[] =>
    rates.map((maxBitrateKbps) => ({ attendeeId: "a", groupId: 1, streamId: maxBitrateKbps, maxBitrateKbps }));
  for (const [rates, width, usual, sparing] of [
    [[500, 2000], 1896, 2000, 2000],
    [[500, 2000], 928, 2000, 500],
    [[500, 2000], 600, 500, 500],
    [[300, 1200], 622, 1200, 300],
    [[300, 1200], 310, 300, 300],
    [[300], 622, 300, 300],
  ] as const) {
    const widths = new Map([["a", width]]);
    expect(choose(sent([...rates]), widths, false), `${rates} at ${width}`).toEqual([usual]);
    expect(choose(sent([...rates]), widths, true), `${rates} at ${width}`).toEqual([sparing]);
  }
});

test("of more pictures than can be received a screen and the largest are", () => {
  const ids = [...Array(26).keys()].map((n) => `p${n}`);
  const share = { attendeeId: "p3#content", groupId: 99, streamId: 990, maxBitrateKbps: 1200 };
  const encodings = [...ids.flatMap((id, n) => camera(id, n + 1)), share];
  // Beside a screen ten have a tile, and who speaks is the last of them.
  const widths = new Map([...ids.slice(0, 9), "p25"].map((id) => [id, 170]));
  const chosen = choose(encodings, widths, false);
  expect(chosen).toHaveLength(25);
  expect(chosen[0]).toBe(990);
  const low = (n: number): number => (n + 1) * 10;
  expect(chosen).toEqual(expect.arrayContaining([...Array(9).keys(), 25].map(low)));
  expect(chosen).not.toContain(low(24));
});

test("a tile that is drawn as it was expected is not subscribed to anew, and one's own never", () => {
  const asked: (readonly string[])[] = [];
  let isSparing = false;
  const policy = new FittingPolicy("self", (ids) => {
    asked.push(ids);
    return new Map(ids.map((id) => [id, 926]));
  }, () => isSparing);
  const encodings = [...camera("self", 3), ...camera("a", 1), ...camera("b", 2)];
  policy.updateIndex({ remoteStreamDescriptions: () => encodings } as unknown as VideoStreamIndex);
  expect(asked).toEqual([["a", "b"]]);
  expect(policy.chooseSubscriptions().array()).toEqual([12, 22]);
  policy.fit(new Map([["a", 926]]));
  policy.fit(new Map([["a", 926], ["b", 926]]));
  expect(policy.wantsResubscribe()).toBe(false);
  policy.fit(new Map([["a", 926], ["b", 300]]));
  expect(policy.wantsResubscribe()).toBe(true);
  expect(policy.chooseSubscriptions().array()).toEqual([12, 20]);
  isSparing = true;
  policy.fit(new Map([["a", 926], ["b", 300]]));
  expect(policy.wantsResubscribe()).toBe(true);
  expect(policy.chooseSubscriptions().array()).toEqual([11, 20]);
});
