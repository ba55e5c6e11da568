// How long sound and pictures are held in the browser's jitter buffers. They come in
// streams that know nothing of each other, so the browser plays each as early as its own
// network lets it: a lip would move before its voice is heard. Pure: counts go in, times
// come out. It must not know the SDK or WebRTC.

/**
 * How long the sound is held at least, in ms. Nobody answers a recording, so it can wait
 * for packets that are late, and for a busy machine, longer than a conversation could.
 */
export const SOUND_HOLD_MS = 100;

/** Beyond that neither waits for the other: who has such a connection is late anyway. */
const LONGEST_HOLD_MS = 500;

/** What moves by less than this stays as it is. */
const STEP_MS = 8;

/** Sums since the beginning of a stream, in seconds, as `getStats` has them. */
export interface Buffered {
  /** Time in the jitter buffer, over all that has left it. */
  delay: number;
  /** How much has left it. */
  count: number;
  /** The same time, had the network alone decided. */
  least: number;
  /** Time from the first packet to the decoded picture, over all pictures. */
  processing: number;
  /** How many pictures have been decoded. */
  decoded: number;
}

/** How long each is to be held, in ms. */
export interface Hold {
  sound: number;
  pictures: number;
}

export class LipSync {
  private readonly before = new Map<string, Buffered>();
  private hold: Hold = { sound: SOUND_HOLD_MS, pictures: 0 };

  /** With each reading of the sound's stream and the pictures', by their names. */
  next(sound: readonly [string, Buffered] | undefined, pictures: ReadonlyMap<string, Buffered>): Hold {
    const heard = sound && this.since(...sound);
    const seen = [...pictures].flatMap(([id, one]) => this.since(id, one) ?? []);
    this.forget(sound ? [sound[0], ...pictures.keys()] : [...pictures.keys()]);
    if (!heard || seen.length === 0) {
      return this.hold;
    }
    // The slowest picture decides how long the sound waits, and the sound how long the
    // others do.
    const decoding = Math.max(...seen.map((one) => one.decoding));
    const slowest = Math.max(...seen.map((one) => one.least + one.decoding));
    const wanted = {
      sound: Math.min(Math.max(slowest, SOUND_HOLD_MS), LONGEST_HOLD_MS),
      pictures: Math.min(Math.max(heard.delay - decoding, 0), LONGEST_HOLD_MS),
    };
    this.hold = {
      sound: moved(this.hold.sound, wanted.sound),
      pictures: moved(this.hold.pictures, wanted.pictures),
    };
    return this.hold;
  }

  /** Means since the last reading, in ms; nothing for a stream that stood still. */
  private since(id: string, now: Buffered): { delay: number; least: number; decoding: number } | undefined {
    const before = this.before.get(id) ?? { delay: 0, count: 0, least: 0, processing: 0, decoded: 0 };
    this.before.set(id, now);
    const count = now.count - before.count;
    if (count <= 0) {
      return undefined;
    }
    const mean = (sum: "delay" | "least"): number => (1000 * (now[sum] - before[sum])) / count;
    const decoded = Math.max(now.decoded - before.decoded, 1);
    const processing = (1000 * (now.processing - before.processing)) / decoded;
    const delay = mean("delay");
    return { delay, least: mean("least"), decoding: now.decoded > 0 ? Math.max(processing - delay, 0) : 0 };
  }

  private forget(known: readonly string[]): void {
    for (const id of this.before.keys()) {
      if (!known.includes(id)) {
        this.before.delete(id);
      }
    }
  }
}

function moved(from: number, to: number): number {
  return Math.abs(to - from) < STEP_MS ? from : Math.round(to);
}
