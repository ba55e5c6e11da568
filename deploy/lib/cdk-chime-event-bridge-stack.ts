/**
 * In us-east-1, where Chime tells of its meetings: the end of a meeting ends its
 * recordings. Everything else is in the backend's region, and is named here.
 */
import { Arn, ArnFormat, Stack, type StackProps } from "aws-cdk-lib";
import { Rule } from "aws-cdk-lib/aws-events";
import type { Construct } from "constructs";
import { RecordingAlarms } from "./constructs/alarms";
import { RustFunction } from "./constructs/function";
import { CLUSTER } from "./names";

export interface ChimeEventBridgeProps extends StackProps {
  readonly backendRegion: string;
  readonly tableName: string;
  readonly alarmEmail?: string | undefined;
}

export class ChimeEventBridgeStack extends Stack {
  constructor(scope: Construct, id: string, props: ChimeEventBridgeProps) {
    super(scope, id, props);
    const region = props.backendRegion;
    const there = (service: string, resource: string, resourceName: string): string =>
      Arn.format(
        { service, resource, resourceName, region, arnFormat: ArnFormat.SLASH_RESOURCE_NAME },
        this,
      );
    const stop = new RustFunction(this, "stopRecordingEventTargetLambda", {
      artefact: "stop-recording-event",
      name: "StopRecordingEventTargetLambda",
      description: "Ends what is recorded of a meeting that has ended",
      environment: {
        DDB_REGION: region,
        DDB_TABLE: props.tableName,
        ECS_CLUSTER_ARN: there("ecs", "cluster", CLUSTER),
        ECS_CLUSTER_REGION: region,
      },
      things: { tableArn: there("dynamodb", "table", props.tableName), clusterRegion: region },
      events: true,
    });
    stop.calledBy(
      new Rule(this, "ChimeMeetingEndsRule", {
        eventPattern: {
          source: ["aws.chime"],
          detail: { eventType: ["chime:MeetingEnded"] },
        },
      }),
    );
    new RecordingAlarms(this, "Alarms", { email: props.alarmEmail }).watchFunctions([stop]);
  }
}
