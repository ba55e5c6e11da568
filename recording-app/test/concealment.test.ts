import { expect, it } from "vitest";
import { Concealment } from "../src/concealment";

it("tells what was made up since the last reading, over all streams", () => {
  const concealment = new Concealment();
  const readings: [string, number][] = [
    ["a", 480],
    ["a", 480],
    ["a", 2400],
    ["b", 960],
    ["b", 480],
    ["b", 960],
  ];
  expect(readings.map((reading) => concealment.next(...reading))).toEqual([10, 0, 40, 20, 0, 10]);
});
