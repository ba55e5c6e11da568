import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Buffered, FARTHER_MS, type Hold, LipSync, SOUND_HOLD_MS } from "../src/lipsync";

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

/** Sound as the browser's buffer holds it, which moves it in steps and only where it has to. */
class NetEq {
  private readonly stream = new Stream();

  /** How long sound has been on its way when it is played, and by how much packets are late. */
  constructor(
    private level: number,
    private readonly late = 10,
  ) {}

  /** What its statistics tell. */
  get delay(): number {
    return this.level - 18;
  }

  hear(target: number, step = 15): Buffered {
    // Twenty times in the second in which the target holds.
    for (let time = 0; time < 20; time += 1) {
      if (this.level < target) {
        this.level += step;
      } else if (this.level >= target + this.late + 20) {
        this.level -= step;
      }
    }
    return this.stream.read(48_000, this.delay, 40);
  }
}

const pictures = (...streams: Buffered[]): Map<string, Buffered> =>
  new Map(streams.map((one, index) => [`v${index}`, one]));

const times = <T>(count: number, reading: () => T): T[] => Array.from({ length: count }, reading);

describe("what is held", () => {
  it("begins in step", () => {
    const { sound, pictures } = new LipSync().hold;
    expect(pictures).toBe(SOUND_HOLD_MS + FARTHER_MS);
    const buffer = new NetEq(SOUND_HOLD_MS + 18);
    buffer.hear(sound);
    expect(buffer.delay).toBe(SOUND_HOLD_MS);
  });

  it("lets the sound be as late as pictures are in the turns they have got, and stay there", () => {
    const whole = fc.tuple(fc.integer({ min: 20, max: 150 }), fc.integer({ min: -35, max: 35 }), fc.integer({ min: 3, max: 15 }), fc.integer({ min: 0, max: 25 }));
    fc.assert(
      fc.property(whole, ([level, older, step, late]) => {
        const [lips, buffer, picture] = [new LipSync(), new NetEq(level, late), new Stream()];
        const age = SOUND_HOLD_MS + FARTHER_MS + older;
        const look = (): number => {
          lips.next(["a", buffer.hear(lips.hold.sound, step)], pictures(picture.read(30, 20, 12, 6)), age);
          return buffer.delay + FARTHER_MS - age;
        };
        const apart = times(30, look).slice(6);
        expect(new Set(apart).size).toBe(1);
        expect(Math.abs(apart[0] ?? NaN)).toBeLessThanOrEqual(Math.max(16, late));
        expect(lips.hold.pictures).toBe(SOUND_HOLD_MS + FARTHER_MS);
      }),
    );
  });

  it("lets the sound follow where pictures are in the recording, but for a single word of it", () => {
    const [lips, buffer, picture] = [new LipSync(), new NetEq(SOUND_HOLD_MS + 18), new Stream()];
    const age = SOUND_HOLD_MS + FARTHER_MS;
    const sound = (after: number): number => {
      times(5, () => {
        lips.shown(after);
        lips.next(["a", buffer.hear(lips.hold.sound)], pictures(picture.read(30, 20, 12, 6)), age);
      });
      return buffer.delay;
    };
    const before = sound(-7);
    // Shown so much later than before, the picture wants its sound so much later.
    expect(Math.abs(sound(13) - before - 20)).toBeLessThanOrEqual(10);
    expect(Math.abs(sound(-7) - before)).toBeLessThanOrEqual(10);
    const at = lips.hold;
    for (const after of [26, 40]) {
      lips.shown(after);
      lips.shown(undefined);
      lips.next(["a", buffer.hear(lips.hold.sound)], pictures(picture.read(30, 20, 12, 6)), age);
    }
    expect(lips.hold).toEqual(at);
  });

  it("moves the sound by little more than a turn for that", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const held = (age: number): number => {
      times(12, () => lips.next(["a", sound.read(48_000, 76, 40)], pictures(picture.read(30, 20, 12, 6)), age));
      return lips.hold.sound;
    };
    const first = held(SOUND_HOLD_MS + FARTHER_MS);
    const most = 36 + 15;
    expect([held(400) - first <= most, first - held(0) <= most]).toEqual([true, true]);
    expect([held(400) > first, held(0) < first]).toEqual([true, true]);
  });

  it("lets everything wait for sound that the network makes wait", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const late = (least: number) => (): Hold =>
      lips.next(["a", sound.read(48_000, least, least)], pictures(picture.read(30, 20, 12, 6)), undefined);
    const first = SOUND_HOLD_MS + FARTHER_MS;
    // Not for what its buffer begins with.
    expect(late(92)().pictures).toBe(first);
    expect(times(5, late(92)).map((hold) => hold.pictures - first)).toEqual([20, 40, 40, 40, 40]);
    // More than that, because it may have to be held less to be in step.
    expect(lips.hold.sound).toBe(116 + 15);
    // It may be so again, and a picture that comes later and sooner in turns is not smooth.
    expect(new Set(times(29, late(40)).map((hold) => hold.pictures - first))).toEqual(new Set([40]));
    expect(times(4, late(40)).map((hold) => hold.pictures - first)).toEqual([20, 0, 0, 0]);
  });

  it("lets the sound wait for the slowest picture, also while that stands still", () => {
    const [lips, sound, quick, slow] = [new LipSync(), new Stream(), new Stream(), new Stream()];
    const look = (streams: Map<string, Buffered>): Hold => lips.next(["a", sound.read(48_000, lips.hold.sound, 40)], streams, undefined);
    times(5, () => look(pictures(quick.read(30, 20, 12, 5))));
    const slide = (changes: number) => (): Hold =>
      look(pictures(quick.read(30, 20, 12, 5), slow.read(changes, 150, 150, 10)));
    // In steps; every other one is pushed that far before.
    expect(times(6, slide(5)).map((hold) => hold.sound)).toEqual([111, 116, 151, 156, 160, 160]);
    expect(new Set(times(29, slide(0)).map((hold) => hold.sound))).toEqual(new Set([160]));
    // Nobody is that slow any more.
    expect(times(6, slide(0)).at(-1)?.sound).toBe(SOUND_HOLD_MS);
  });

  it("lets the sound go on without a slow picture that has left", () => {
    const [lips, sound, slow] = [new LipSync(), new Stream(), new Stream()];
    const hear = (streams: Map<string, Buffered>): Hold => lips.next(["a", sound.read(48_000, lips.hold.sound, 40)], streams, undefined);
    times(10, () => hear(pictures(slow.read(30, 200, 200))));
    expect(lips.hold.sound).toBe(200);
    expect(times(40, () => hear(new Map())).at(-1)?.sound).toBe(SOUND_HOLD_MS);
  });

  it("lets nobody wait longer than half a second and the way to the output", () => {
    const [lips, sound, slow] = [new LipSync(), new Stream(), new Stream()];
    const hopeless = (): Hold =>
      lips.next(["a", sound.read(48_000, lips.hold.sound, 5000)], pictures(slow.read(30, 3000, 3000)), undefined);
    // The last step would be too small.
    const { sound: held, pictures: older } = times(40, hopeless).at(-1) ?? lips.hold;
    expect([held, older - FARTHER_MS]).toEqual([500, 496]);
  });

  it("does not follow what moves a little, nor what stands still", () => {
    const [lips, sound, picture] = [new LipSync(), new Stream(), new Stream()];
    const seen = picture.read(30, 100, 12);
    // In a turn that is later than what is needed.
    const age = SOUND_HOLD_MS + FARTHER_MS + 15;
    times(8, () => lips.next(["a", sound.read(48_000, SOUND_HOLD_MS + 15, 40)], pictures(seen), age));
    const first = lips.hold;
    expect(first.sound).toBeGreaterThan(SOUND_HOLD_MS + 9);
    expect(lips.next(["a", sound.read(48_000, SOUND_HOLD_MS + 19, 40)], pictures(seen), age)).toEqual(first);
    expect(lips.next(["a", sound.read(0, 0, 0)], pictures(seen), age)).toEqual(first);
    expect(lips.next(undefined, new Map(), age)).toEqual(first);
  });

  it("takes a stream that is begun anew under its name for a new one", () => {
    const [lips, sound] = [new LipSync(), new Stream()];
    const picture = new Stream();
    const look = (heard: Buffered): number =>
      lips.next(["a", heard], pictures(picture.read(30, 20, 12)), undefined).pictures;
    times(2, () => look(sound.read(24_000, 100, 10)));
    const before = lips.hold.pictures;
    // More has left the new buffer than the old one, after a shorter time for each.
    expect(look(new Stream().read(48_480, 20, 40))).toBe(before);
  });
});
