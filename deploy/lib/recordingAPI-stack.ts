/** The API of recordings, and the Lambdas behind it. */
import { Arn, ArnFormat, NestedStack } from "aws-cdk-lib";
import { HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import type { IRole } from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";
import { RecordingApi } from "./constructs/api";
import { RustFunction, type RustFunctionProps } from "./constructs/function";
import type { Compute } from "./recording-compute-stack";
import type { Things } from "./rights";
import type { RecordingSettings, Settings } from "./settings";
import worker from "./worker.json";

export interface RecordingApiProps {
  readonly settings: Settings;
  readonly recording: RecordingSettings;
  readonly tableName: string;
  readonly bucketName: string;
  readonly clusterArn: string;
  readonly taskDefinitionArn: string;
  /** None in an emulator: the cluster decides. */
  readonly compute?: Compute | undefined;
  readonly userPoolId: string;
  readonly userPoolClientId: string;
  readonly authenticatedRole: IRole;
  readonly things: Things;
}

export class RecordingApiStack extends NestedStack {
  readonly api: RecordingApi;
  readonly functions: readonly RustFunction[];

  constructor(scope: Construct, id: string, props: RecordingApiProps) {
    super(scope, id, { description: "Video call recording: API" });
    const start = this.start(props);
    const stop = this.function(props, "StopRecordingLambda", {
      artefact: "stop-recording",
      description: "Ends what is recorded of a meeting",
      environment: { ECS_CLUSTER_ARN: props.clusterArn },
    });
    const summary = this.function(props, "GetRecordingSummaryLambda", {
      artefact: "recording-summary",
      description: "Lists recordings with addresses to play them",
      environment: {
        recordingPlaybackSecurityProfileId: props.recording.playbackSecurityProfileId,
        recordingPresignedURLExpiresMinutes: String(props.recording.presignedUrlExpiresMinutes),
      },
    });
    // Without fixed names: a solution that this one is attached to has such two.
    const connectUser = (id: string, artefact: RustFunctionProps["artefact"], what: string) =>
      this.anyName(props, id, {
        artefact,
        description: what,
        environment: connectInstance(props.settings),
      });
    const setUserId = connectUser(
      "SetConnectUserIdLambda",
      "set-connect-user-id",
      "Ties a user of the pool to one of Connect",
    );
    const putCache = connectUser(
      "PutConnectUserCacheLambda",
      "put-connect-user-cache",
      "Keeps group and security profiles of the caller",
    );
    this.functions = [start, stop, summary, setUserId, putCache];
    this.api = new RecordingApi(this, "Api", {
      routes: [
        { method: HttpMethod.POST, path: "/recording", target: start },
        { method: HttpMethod.DELETE, path: "/recording", target: stop },
        { method: HttpMethod.GET, path: "/recording-summary", target: summary },
        { method: HttpMethod.POST, path: "/setConnectUserId", target: setUserId },
        { method: HttpMethod.PUT, path: "/connect-user-cache", target: putCache },
      ],
      allowedOrigins: props.settings.agentApiAllowedOrigins,
      callers: props.authenticatedRole,
    });
  }

  private start(props: RecordingApiProps): RustFunction {
    return this.function(props, "StartRecordingLambda", {
      artefact: "start-recording",
      description: "Starts recording a meeting",
      environment: {
        ...connectInstance(props.settings),
        ECS_CLUSTER_ARN: props.clusterArn,
        ECS_CONTAINER_NAME: worker.containerName,
        ECS_TASK_DEFINITION_ARN: props.taskDefinitionArn,
        RECORDING_ATTENDEE_NAME: props.recording.attendeeName,
        RECORDING_BUCKET_NAME: props.bucketName,
        RECORDING_SCREEN_HEIGHT: String(worker.screenHeight),
        RECORDING_SCREEN_WIDTH: String(worker.screenWidth),
        ...whereToRun(props.compute),
      },
    });
  }

  private function(
    props: RecordingApiProps,
    name: string,
    what: Pick<RustFunctionProps, "artefact" | "description" | "environment">,
  ): RustFunction {
    return this.anyName(props, name, what, name);
  }

  private anyName(
    props: RecordingApiProps,
    id: string,
    what: Pick<RustFunctionProps, "artefact" | "description" | "environment">,
    name?: string,
  ): RustFunction {
    return new RustFunction(this, id, {
      ...what,
      ...(name !== undefined && { name }),
      environment: {
        CognitoUserPoolClientId: props.userPoolClientId,
        CognitoUserPoolId: props.userPoolId,
        DDB_TABLE: props.tableName,
        ...what.environment,
      },
      things: props.things,
    });
  }
}

/** What RunTask is told of the place. Tasks never get a public address. */
function whereToRun(compute: Compute | undefined): Record<string, string> {
  if (compute === undefined) return {};
  const { capacityProvider, taskNetwork } = compute;
  return {
    ECS_CAPACITY_PROVIDER: capacityProvider,
    // An instance shares its own network with its tasks, and RunTask refuses another.
    ...(taskNetwork !== undefined && {
      ECS_SUBNETS: taskNetwork.subnetIds.join(","),
      ECS_SECURITY_GROUPS: taskNetwork.securityGroupIds.join(","),
    }),
  };
}

/** The instance may be in another region than what records its calls. */
function connectInstance({ connectInstanceArn: arn }: Settings): Record<string, string> {
  const { region, resourceName } = Arn.split(arn, ArnFormat.SLASH_RESOURCE_NAME);
  if (region === undefined || resourceName === undefined) {
    throw new Error(`${arn} is not the ARN of an instance`);
  }
  return { ConnectInstanceId: resourceName, ConnectInstanceRegion: region };
}
