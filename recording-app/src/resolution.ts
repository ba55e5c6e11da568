// Which encoding of each picture to receive: the one that fits the tile it is drawn
// in, so that nothing is decoded that nobody sees. Where processors are short, one that is not
// larger than its tile: there is less to decode, and Firefox draws what it need not shrink in
// less time (docs/encoding.md). A downlink policy of the SDK.

import {
  type ClientMetricReport,
  DefaultVideoStreamIdSet,
  TargetDisplaySize,
  type VideoDownlinkBandwidthPolicy,
  VideoPreference,
  type VideoStreamIdSet,
  type VideoStreamIndex,
} from "amazon-chime-sdk-js";

/** How wide the encodings of a camera are. */
const LOW = 320;
const MEDIUM = 640;
const HIGH = 1280;

/** An encoding counts as no larger than a tile that is so much narrower. */
const ALMOST = 1.1;

/** What a tile of this width needs, or at most may have. */
export function targetSize(width: number, isSparing: boolean): TargetDisplaySize {
  const [low, medium] = isSparing ? [MEDIUM / ALMOST, HIGH / ALMOST] : [LOW, MEDIUM];
  if (width <= low) {
    return TargetDisplaySize.Low;
  }
  return width <= medium ? TargetDisplaySize.Medium : TargetDisplaySize.High;
}

/** One encoding of a picture, as the SDK describes it. */
export interface Encoding {
  attendeeId: string;
  groupId: number;
  streamId: number;
  maxBitrateKbps: number;
}

/**
 * The best encoding of each attendee that is not beyond its target, else the smallest
 * there is. Of an attendee's groups only the latest counts.
 */
export function choose(
  encodings: readonly Encoding[],
  widths: ReadonlyMap<string, number>,
  isSparing: boolean,
): number[] {
  const chosen = new Map<string, Encoding>();
  for (const encoding of encodings) {
    const { attendeeId, maxBitrateKbps } = encoding;
    const target = targetSize(widths.get(attendeeId) ?? 0, isSparing);
    const limit = new VideoPreference(attendeeId, 1, target).targetSizeToBitrateKbps(target);
    const best = chosen.get(attendeeId);
    const isBetter =
      !best ||
      encoding.groupId > best.groupId ||
      (encoding.groupId === best.groupId &&
        (best.maxBitrateKbps > limit
          ? maxBitrateKbps < best.maxBitrateKbps
          : maxBitrateKbps <= limit && maxBitrateKbps > best.maxBitrateKbps));
    if (isBetter) {
      chosen.set(attendeeId, encoding);
    }
  }
  return [...chosen.values()].map((encoding) => encoding.streamId);
}

export class FittingPolicy implements VideoDownlinkBandwidthPolicy {
  private index: VideoStreamIndex | undefined;
  private widths: ReadonlyMap<string, number> = new Map();
  private wanted: VideoStreamIdSet = new DefaultVideoStreamIdSet();
  private subscribed: VideoStreamIdSet = new DefaultVideoStreamIdSet();
  private resubscribe: (() => void) | undefined;

  /**
   * `expectedWidths` tells how wide the tiles of attendees will be drawn, `isSparing` whether
   * nothing larger than that is to be received.
   */
  constructor(
    private readonly self: string,
    private readonly expectedWidths: (attendeeIds: readonly string[]) => ReadonlyMap<string, number>,
    private readonly isSparing: () => boolean,
  ) {}

  /** Tells how wide each attendee's tile is drawn, in pixels. */
  fit(widths: ReadonlyMap<string, number>): void {
    this.widths = widths;
    this.decide();
    if (this.wantsResubscribe()) {
      this.resubscribe?.();
    }
  }

  reset(): void {
    this.index = undefined;
    this.wanted = new DefaultVideoStreamIdSet();
    this.subscribed = new DefaultVideoStreamIdSet();
  }

  updateIndex(index: VideoStreamIndex): void {
    this.index = index;
    this.decide();
  }

  updateMetrics(_report: ClientMetricReport): void {
    // What is drawn decides, not what the network could carry.
  }

  wantsResubscribe(): boolean {
    return !this.subscribed.equal(this.wanted);
  }

  chooseSubscriptions(): VideoStreamIdSet {
    this.subscribed = this.wanted.clone();
    return this.subscribed.clone();
  }

  setWantsResubscribeObserver(observer: () => void): void {
    this.resubscribe = observer;
  }

  private decide(): void {
    const all: readonly Encoding[] = this.index?.remoteStreamDescriptions() ?? [];
    const encodings = all.filter(({ attendeeId: id }) => id !== "" && id !== this.self);
    const ids = new Set(encodings.map(({ attendeeId }) => attendeeId));
    const unknown = [...ids].filter((id) => !this.widths.has(id));
    // A picture that is subscribed to as it will be drawn need not be changed, which costs
    // some pictures, just when a recording begins. Who else is there may not be known yet.
    const expected = unknown.length > 0 ? this.expectedWidths(unknown) : [];
    const widths = new Map([...expected, ...this.widths]);
    this.wanted = new DefaultVideoStreamIdSet(choose(encodings, widths, this.isSparing()));
  }
}
