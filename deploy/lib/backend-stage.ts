/** The stacks that make up a deployment, whoever deploys them: a person or a pipeline. */
import { Stage, Token, type Environment, type Stack, type StageProps } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { BackendStack } from "./backend-stack";
import { ChimeEventBridgeStack } from "./cdk-chime-event-bridge-stack";
import { CHIME_EVENTS_REGION, stackName, tableName } from "./names";
import type { Settings } from "./settings";

export interface BackendStacks {
  readonly backend: Stack;
  /** Only where calls can be recorded. */
  readonly chimeEventBridge?: Stack;
}

export function backendStacks(
  scope: Construct,
  settings: Settings,
  env: Environment,
): BackendStacks {
  const { region } = env;
  if (region === undefined || Token.isUnresolved(region)) {
    // The stack in the other region could not say where the table is.
    throw new Error("the backend needs a region: set AWS_REGION, or region of your profile");
  }
  const backend = new BackendStack(scope, "CdkBackendStack", {
    stackName: stackName(settings, "Backend"),
    description: "Video call recording: backend",
    env,
    settings,
  });
  if (settings.recording === undefined) return { backend };
  const chimeEventBridge = new ChimeEventBridgeStack(scope, "CdkChimeEventBridgeStack", {
    stackName: stackName(settings, "ChimeEventBridge"),
    description: "Video call recording: the end of meetings",
    env: { ...env, region: CHIME_EVENTS_REGION },
    backendRegion: region,
    tableName: tableName(settings),
    alarmEmail: settings.recording.alarmEmail,
  });
  chimeEventBridge.addStackDependency(backend);
  return { backend, chimeEventBridge };
}

export interface RecorderStageProps extends StageProps {
  readonly settings: Settings;
}

/** All of them, as one step of a pipeline. */
export class RecorderStage extends Stage {
  readonly stacks: BackendStacks;

  constructor(scope: Construct, id: string, { settings, ...props }: RecorderStageProps) {
    super(scope, id, props);
    this.stacks = backendStacks(this, settings, props.env ?? {});
  }
}
