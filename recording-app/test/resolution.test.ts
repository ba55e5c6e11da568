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

test("a tile that is drawn as it was expected is not subscribed to anew, and one's own never", () => {
  const asked: (readonly string[])[] = [];
  let isSparing = false;
  const policy = new FittingPolicy("self", (ids) => {
    asked.push(ids);
    return new Map(ids.map((id) => [id, 926]));
  }, () => isSparing);
  let again = 0;
  policy.setWantsResubscribeObserver(() => (again += 1));
  const encodings = [...camera("self", 3), ...camera("a", 1), ...camera("b", 2)];
  policy.updateIndex({ remoteStreamDescriptions: () => encodings } as unknown as VideoStreamIndex);
  expect(asked).toEqual([["a", "b"]]);
  expect(policy.chooseSubscriptions().array()).toEqual([12, 22]);
  policy.fit(new Map([["a", 926]]));
  policy.fit(new Map([["a", 926], ["b", 926]]));
  expect(again).toBe(0);
  policy.fit(new Map([["a", 926], ["b", 300]]));
  expect(again).toBe(1);
  expect(policy.chooseSubscriptions().array()).toEqual([12, 20]);
  isSparing = true;
  policy.fit(new Map([["a", 926], ["b", 300]]));
  expect(again).toBe(2);
  expect(policy.chooseSubscriptions().array()).toEqual([11, 20]);
});
