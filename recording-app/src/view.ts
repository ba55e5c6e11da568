// Draws the tiles. Each keeps its element for as long as it is there, so that
// nothing flickers when others come and go. All text is set as text. It measures how old
// pictures are when they are seen. It must not know the SDK.

import type { Rectangle } from "./layout";
import { initials } from "./names";

export interface Tile {
  id: string;
  name: string;
  content: boolean;
  muted: boolean;
  speaking: boolean;
  poor: boolean;
  stream: MediaStream | undefined;
}

interface Drawn {
  element: HTMLElement;
  video: HTMLVideoElement;
  initials: HTMLElement;
  name: HTMLElement;
  mark: HTMLElement;
  /** Whether a picture of the present stream has been seen. */
  seen: boolean;
}

/** Firefox does since 132. */
const TELLS_OF_PICTURES = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

export class View {
  private readonly drawn = new Map<string, Drawn>();
  /** How old each picture was when it was seen, by its track. */
  private ages = new Map<string, number[]>();

  constructor(private readonly stage: HTMLElement) {}

  get size(): { width: number; height: number } {
    return { width: this.stage.clientWidth, height: this.stage.clientHeight };
  }

  /** Shows exactly the tiles that have a place. */
  render(tiles: readonly Tile[], places: ReadonlyMap<string, Rectangle>): void {
    for (const [id, drawn] of this.drawn) {
      if (!places.has(id)) {
        drawn.video.srcObject = null;
        drawn.element.remove();
        this.drawn.delete(id);
      }
    }
    for (const tile of tiles) {
      const place = places.get(tile.id);
      if (place) {
        this.draw(tile, place);
      }
    }
  }

  /** Of how many tiles a picture has been seen. */
  get pictures(): number {
    return [...this.drawn.values()].filter(({ video, seen }) => !video.hidden && seen).length;
  }

  /** How old the pictures of each track were that were seen since the last call, in ms. */
  takeAges(): Map<string, number[]> {
    const tracks = [...this.drawn.values()].flatMap(({ video }) => track(video) ?? []);
    const ages = this.ages;
    this.ages = new Map(tracks.map((id) => [id, []]));
    return ages;
  }

  private watch(drawn: Drawn): void {
    const { video } = drawn;
    if (!TELLS_OF_PICTURES) {
      // Soon enough: it may be seen a turn later.
      video.addEventListener("loadeddata", () => {
        drawn.seen = true;
      });
      return;
    }
    video.requestVideoFrameCallback((now, { receiveTime }) => {
      drawn.seen = true;
      const id = track(video);
      if (receiveTime !== undefined && id !== undefined) {
        const ages = this.ages.get(id) ?? [];
        ages.push(now - receiveTime);
        this.ages.set(id, ages);
      }
      this.watch(drawn);
    });
  }

  private draw(tile: Tile, place: Rectangle): void {
    const drawn = this.drawn.get(tile.id) ?? this.create(tile.id);
    const { element, video } = drawn;
    const style = `translate(${place.x}px, ${place.y}px)`;
    set(element.style, "transform", style);
    set(element.style, "width", `${place.width}px`);
    set(element.style, "height", `${place.height}px`);
    const height = `${place.height}px`;
    if (element.style.getPropertyValue("--tile-height") !== height) {
      element.style.setProperty("--tile-height", height);
    }
    element.classList.toggle("speaking", tile.speaking);
    element.classList.toggle("poor", tile.poor);
    element.classList.toggle("content", tile.content);
    setText(drawn.name, tile.name);
    setText(drawn.initials, initials(tile.name));
    setText(drawn.mark, [tile.muted ? "muted" : "", tile.poor ? "poor connection" : ""].filter(Boolean).join(", "));
    drawn.mark.hidden = !tile.muted && !tile.poor;
    if (video.srcObject !== (tile.stream ?? null)) {
      video.srcObject = tile.stream ?? null;
      drawn.seen = false;
    }
    video.hidden = !tile.stream;
    // Under the picture, so that there is no black before its first frame.
    drawn.initials.hidden = tile.content || (tile.poor && tile.stream !== undefined);
  }

  private create(id: string): Drawn {
    const add = (parent: HTMLElement, tag: string, name: string): HTMLElement => {
      const element = parent.appendChild(document.createElement(tag));
      element.className = name;
      return element;
    };
    const element = add(this.stage, "section", "tile");
    element.dataset["id"] = id;
    const initials = add(element, "div", "initials");
    const video = element.appendChild(document.createElement("video"));
    video.autoplay = true;
    video.muted = true;
    video.playsInline = true;
    const label = add(element, "div", "label");
    const name = add(label, "bdi", "name");
    const mark = add(label, "span", "mark");
    const drawn = { element, video, initials, name, mark, seen: false };
    this.drawn.set(id, drawn);
    this.watch(drawn);
    return drawn;
  }
}

function track(video: HTMLVideoElement): string | undefined {
  return video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks()[0]?.id : undefined;
}

/** Writing the same again would cost a layout. */
function set(style: CSSStyleDeclaration, name: "transform" | "width" | "height", value: string): void {
  if (style[name] !== value) {
    style[name] = value;
  }
}

function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}
