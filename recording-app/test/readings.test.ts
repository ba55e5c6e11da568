import { expect, it } from "vitest";
import { buffered, concealed, type Stats } from "../src/readings";

// As Firefox 153 tells them, without what is not of interest.
const STATS: Stats[] = [
  {
    id: "a1",
    type: "inbound-rtp",
    kind: "audio",
    jitterBufferDelay: 14054.4,
    jitterBufferEmittedCount: 278400,
    jitterBufferMinimumDelay: 12096,
    concealedSamples: 960,
    silentConcealedSamples: 480,
  },
  { id: "a1", type: "remote-inbound-rtp", kind: "audio" },
  {
    id: "v1",
    type: "inbound-rtp",
    kind: "video",
    jitterBufferDelay: 3.65,
    jitterBufferEmittedCount: 171,
    jitterBufferMinimumDelay: 2.46,
    totalProcessingDelay: 4.54,
    framesDecoded: 170,
  },
  // Nothing has come yet.
  { id: "v2", type: "inbound-rtp", kind: "video", jitterBufferDelay: 0, jitterBufferEmittedCount: 0 },
  { id: "p", type: "candidate-pair" },
];
const REPORT = new Map(STATS.map((one, index) => [String(index), one]));

it("finds the sound and every picture that has come", () => {
  const [sound, pictures] = buffered(REPORT);
  expect(sound).toEqual(["a1", { delay: 14054.4, count: 278400, least: 12096, processing: 0, decoded: 0 }]);
  expect([...pictures]).toEqual([["v1", { delay: 3.65, count: 171, least: 2.46, processing: 4.54, decoded: 170 }]]);
});

it("tells what of the sound was made up, and nothing where there is none", () => {
  expect(concealed(REPORT)).toEqual(["a1", 480]);
  expect([buffered(new Map()), concealed(new Map())]).toEqual([[undefined, new Map()], undefined]);
});
