import { describe, expect, it } from "vitest";
import { type Buffered, LipSync, SOUND_HOLD_MS } from "../src/lipsync";

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

describe("what is held", () => {
  it("lets pictures come out of their decoder when the sound is heard", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    expect(lips.next(["a", sound.read(48_000, 120, 40)], pictures(picture.read(30, 20, 12, 6)))).toEqual({
      sound: SOUND_HOLD_MS,
      pictures: 114,
    });
    // By the last reading alone, not by the mean since the beginning.
    expect(lips.next(["a", sound.read(48_000, 200, 40)], pictures(picture.read(30, 114, 12, 6)))).toEqual({
      sound: SOUND_HOLD_MS,
      pictures: 194,
    });
  });

  it("lets the sound wait for the slowest picture, but not for ever", () => {
    const [lips, sound, quick, slow] = [new LipSync(), new Stream(), new Stream(), new Stream()];
    const late = (least: number): ReturnType<LipSync["next"]> =>
      lips.next(["a", sound.read(48_000, 100, 40)], pictures(quick.read(30, 20, 12, 5), slow.read(30, least, least, 10)));
    expect(late(250).sound).toBe(260);
    expect(late(2000).sound).toBe(500);
    expect(late(20).sound).toBe(SOUND_HOLD_MS);
  });

  it("lets no picture wait for sound that is hopelessly late", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const held = lips.next(["a", sound.read(48_000, 5000, 40)], pictures(picture.read(30, 20, 12)));
    expect(held).toEqual({ sound: SOUND_HOLD_MS, pictures: 500 });
  });

  it("does not follow what moves a little, nor what stands still", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const first = lips.next(["a", sound.read(48_000, 100, 40)], pictures(picture.read(30, 20, 12)));
    expect(first.pictures).toBe(100);
    const seen = picture.read(30, 100, 12);
    expect(lips.next(["a", sound.read(48_000, 104, 40)], pictures(seen))).toEqual(first);
    // No picture came, and no sound.
    expect(lips.next(["a", sound.read(48_000, 300, 40)], pictures(seen))).toEqual(first);
    expect(lips.next(["a", sound.read(0, 0, 0)], pictures(picture.read(30, 100, 12)))).toEqual(first);
    expect(lips.next(undefined, new Map())).toEqual(first);
  });

  it("takes a stream that comes back under its name for a new one", () => {
    const [lips, sound] = [new LipSync(), new Stream()];
    lips.next(["a", sound.read(48_000, 100, 40)], pictures(new Stream().read(3000, 20, 12)));
    lips.next(["a", sound.read(48_000, 100, 40)], new Map());
    const again = new Stream().read(30, 20, 12, 8);
    expect(lips.next(["a", sound.read(48_000, 100, 40)], pictures(again)).pictures).toBe(92);
  });
});
