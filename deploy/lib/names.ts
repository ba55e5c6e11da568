/**
 * What things are called: the names that other parts of a solution may know.
 * There is one deployment in an account, because they are fixed: a dashboard is of all regions,
 * and a second stack of the end of meetings would take the first one's place.
 */
import type { Settings } from "./settings";

export const APPLICATION = "VideoCallEscalation";

/** The folder of the parameters, and of what a deployment tells. */
export const HIERARCHY = `/${APPLICATION}/`;

/** Chime tells of meetings there, wherever they are held. */
export const CHIME_EVENTS_REGION = "us-east-1";

export const TABLE = `${APPLICATION}DB`;
export const CLUSTER = `${APPLICATION}-Recording`;
export const RECORDINGS_PREFIX = "RECORDINGS/";

/** Of all metrics that Lambdas and recorders tell. */
export const METRICS = `${APPLICATION}/Recording`;

export function tableName(settings: Settings): string {
  return settings.recording?.existing.tableName ?? TABLE;
}

/**
 * A stack that attaches to an existing solution must not have the name that the
 * solution's own stack has: it would take its place, and delete what is in it.
 */
export function stackName(settings: Settings, name: "Backend" | "ChimeEventBridge"): string {
  return isAttached(settings) ? `${APPLICATION}Recording${name}` : `${APPLICATION}${name}`;
}

/** Whether another solution has the users or the table. */
export function isAttached(settings: Settings): boolean {
  const existing = settings.recording?.existing;
  return existing?.tableName !== undefined || existing?.userPoolId !== undefined;
}
