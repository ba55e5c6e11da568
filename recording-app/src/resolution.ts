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

/** So many pictures the SDK receives. Of more it leaves out some by their ids, and says nothing. */
const MOST = 25;

/**
 * One encoding of each attendee, as it fits the width of their tile; of more attendees than can be
 * received those with a screen, and the largest. Of an attendee's groups only the latest counts.
 */
export function choose(
  encodings: readonly Encoding[],
  widths: ReadonlyMap<string, number>,
  isSparing: boolean,
): number[] {
  const latest = new Map<string, Encoding[]>();
  for (const encoding of encodings) {
    const group = latest.get(encoding.attendeeId) ?? [];
    const known = group[0]?.groupId ?? encoding.groupId;
    if (encoding.groupId >= known) {
      latest.set(encoding.attendeeId, encoding.groupId === known ? [...group, encoding] : [encoding]);
    }
  }
  const width = (id: string): number => widths.get(id) ?? 0;
  const isScreen = (id: string): number => Number(id.endsWith("#content"));
  return [...latest]
    .sort(([a], [b]) => isScreen(b) - isScreen(a) || width(b) - width(a))
    .slice(0, MOST)
    .flatMap(([id, group]) => fitting(group, width(id), isSparing)?.streamId ?? []);
}

/** The best that is not beyond what a tile of this width needs, else the smallest there is. */
function fitting(encodings: readonly Encoding[], width: number, isSparing: boolean): Encoding | undefined {
  const target = targetSize(width, isSparing);
  // No sender's best is more than the largest tile is worth.
  const limit =
    target === TargetDisplaySize.High
      ? Number.POSITIVE_INFINITY
      : new VideoPreference("", 1, target).targetSizeToBitrateKbps(target);
  const byRate = encodings.toSorted((a, b) => a.maxBitrateKbps - b.maxBitrateKbps);
  const within = byRate.filter(({ maxBitrateKbps }) => maxBitrateKbps <= limit);
  const best = within.at(-1) ?? byRate[0];
  // Of few senders there is none in the middle: a small one would be stretched to twice its width.
  const isCoarse = target === TargetDisplaySize.Medium && best && best.maxBitrateKbps * 2 <= limit;
  return (isCoarse && !isSparing ? byRate[within.length] : undefined) ?? best;
}

export class FittingPolicy implements VideoDownlinkBandwidthPolicy {
  private index: VideoStreamIndex | undefined;
  private widths: ReadonlyMap<string, number> = new Map();
  private wanted: VideoStreamIdSet = new DefaultVideoStreamIdSet();
  private subscribed: VideoStreamIdSet = new DefaultVideoStreamIdSet();

  /**
   * `expectedWidths` tells how wide the tiles of attendees will be drawn, `isSparing` whether
   * nothing larger than that is to be received.
   */
  constructor(
    private readonly self: string,
    private readonly expectedWidths: (attendeeIds: readonly string[]) => ReadonlyMap<string, number>,
    private readonly isSparing: () => boolean,
  ) {}

  /** Tells how wide each attendee's tile is drawn, in pixels. The SDK asks each second for what follows. */
  fit(widths: ReadonlyMap<string, number>): void {
    this.widths = widths;
    this.decide();
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
