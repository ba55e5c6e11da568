// How much sound the browser made up because none came in time. Pure: counts go in, times
// come out. It must not know WebRTC.

/** Samples a second of the sound's clock, whatever it is played at. */
const RATE = 48_000;

export class Concealment {
  private stream = "";
  private samples = 0;

  /** With the made-up samples of a stream so far: what came since the last call, in ms. */
  next(stream: string, samples: number): number {
    // One that was begun anew counts from zero again.
    const before = stream === this.stream ? Math.min(this.samples, samples) : 0;
    this.stream = stream;
    this.samples = samples;
    return Math.round(((samples - before) * 1000) / RATE);
  }
}
