import { describe, expect, it } from "vitest";
import { type Buffered, type Hold, LipSync, SOUND_HOLD_MS } from "../src/lipsync";

/** A stream whose every unit spent `delay` ms in the buffer and `decoding` ms after it. */
class Stream {
  private sums: Buffered = { delay: 0, count: 0, least: 0, processing: 0, decoded: 0 };

  read(count: number, delay: number, least: number, decoding = 0): Buffered {
    const { sums } = this;
    this.sums = {
      delay: sums.delay + (count * delay) / 1000,
      count: sums.count + count,
      least: sums.least + (count * least) / 1000,
      processing: sums.processing + (count * (delay + decoding)) / 1000,
      decoded: sums.decoded + count,
    };
    return this.sums;
  }
}

const pictures = (...streams: Buffered[]): Map<string, Buffered> =>
  new Map(streams.map((one, index) => [`v${index}`, one]));

const times = (count: number, reading: () => Hold): Hold[] => Array.from({ length: count }, reading);

describe("what is held", () => {
  it("begins in step", () => {
    expect(new LipSync().hold).toEqual({ sound: 0, pictures: 98 });
  });

  it("lets pictures take as long as the sound with its way to the output, in small steps and by the last reading alone", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const late = (delay: number) => (): Hold =>
      lips.next(["a", sound.read(48_000, delay, 40)], pictures(picture.read(30, 20, 12, 6)));
    expect(times(6, late(180)).map((hold) => hold.pictures)).toEqual([118, 138, 158, 178, 198, 218]);
    expect(times(4, late(130)).map((hold) => hold.pictures)).toEqual([198, 178, 178, 178]);
    expect(lips.hold.sound).toBe(SOUND_HOLD_MS);
  });

  it("lets the sound wait for the slowest picture, also while that stands still", () => {
    const [lips, sound, quick, slow] = [new LipSync(), new Stream(), new Stream(), new Stream()];
    times(5, () => lips.next(["a", sound.read(48_000, 100, 40)], pictures(quick.read(30, 20, 12, 5))));
    const slide = (changes: number) => (): Hold =>
      lips.next(["a", sound.read(48_000, 100, 40)], pictures(quick.read(30, 20, 12, 5), slow.read(changes, 150, 150, 10)));
    expect(times(5, slide(5)).map((hold) => hold.sound)).toEqual([120, 140, 160, 160, 160]);
    expect(new Set(times(29, slide(0)).map((hold) => hold.sound))).toEqual(new Set([160]));
    // Nobody is that slow any more.
    expect(times(4, slide(0)).at(-1)?.sound).toBe(SOUND_HOLD_MS);
  });

  it("lets the sound go on without a slow picture that has left", () => {
    const [lips, sound, slow] = [new LipSync(), new Stream(), new Stream()];
    const hear = (streams: Map<string, Buffered>): Hold => lips.next(["a", sound.read(48_000, 100, 40)], streams);
    times(10, () => hear(pictures(slow.read(30, 200, 200))));
    expect(lips.hold.sound).toBe(200);
    expect(times(40, () => hear(new Map())).at(-1)?.sound).toBe(SOUND_HOLD_MS);
  });

  it("lets nobody wait longer than half a second", () => {
    const [lips, sound, slow] = [new LipSync(), new Stream(), new Stream()];
    const hopeless = (): Hold => lips.next(["a", sound.read(48_000, 5000, 40)], pictures(slow.read(30, 3000, 3000)));
    // The last step would be too small.
    expect(times(40, hopeless).at(-1)).toEqual({ sound: 500, pictures: 498 });
  });

  it("does not follow what moves a little, nor what stands still", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const seen = picture.read(30, 100, 12);
    times(6, () => lips.next(["a", sound.read(48_000, 100, 40)], pictures(seen)));
    const first = lips.hold;
    expect(lips.next(["a", sound.read(48_000, 108, 40)], pictures(seen))).toEqual(first);
    expect(lips.next(["a", sound.read(0, 0, 0)], pictures(seen))).toEqual(first);
    expect(lips.next(undefined, new Map())).toEqual(first);
  });

  it("takes a stream that is begun anew under its name for a new one", () => {
    const [lips, sound] = [new LipSync(), new Stream()];
    const picture = new Stream();
    lips.next(["a", sound.read(4800, 100, 40)], pictures(picture.read(30, 20, 12)));
    // More has left the new buffer than the old one, and after a shorter time.
    const again = new Stream().read(9600, 40, 40);
    expect(lips.next(["a", again], pictures(picture.read(30, 20, 12))).pictures).toBe(98);
  });
});
