/**
 * What somebody has to know of at once. Each alarm names the section of
 * docs/operations.md that says what to do. It must not know how anything is done.
 */
import { Duration, Stack } from "aws-cdk-lib";
import {
  Alarm,
  ComparisonOperator,
  TreatMissingData,
  type IMetric,
} from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";
import type { RustFunction } from "./function";

/** The sections of docs/operations.md, by their headings. */
export const SECTIONS = {
  apiErrors: "API errors",
  lambdaErrors: "Lambda errors",
  lambdaThrottles: "Lambda throttles",
  lostEvents: "Lost events",
  noCapacity: "No capacity",
  notComplete: "Recordings not complete",
  orphans: "Orphans repaired",
  recorderFailures: "Recorder failures",
  repairFailures: "Repairs fail",
  sweeperSilent: "Sweeper silent",
  uploadErrors: "Upload errors",
} as const;

const PERIOD = Duration.minutes(5);

export interface Watched {
  readonly section: keyof typeof SECTIONS;
  /** What has happened, in a sentence. */
  readonly what: string;
  readonly metric: IMetric;
  /** It is told when the metric is above; 0 if not given. */
  readonly above?: number;
  /** For so many periods. */
  readonly periods?: number;
  /** It is told when the metric is not above, or silent. */
  readonly unless?: boolean;
}

export interface AlarmsProps {
  /** Who gets them; without it somebody has to subscribe to the topic. */
  readonly email?: string | undefined;
}

export class RecordingAlarms extends Construct {
  readonly alarms: Alarm[] = [];
  readonly #topic: Topic;

  constructor(scope: Construct, id: string, { email }: AlarmsProps) {
    super(scope, id);
    this.#topic = new Topic(this, "Topic", {
      displayName: "Video call recording: alarms",
      enforceSSL: true,
    });
    // A topic with a policy of its own no more takes what its account's alarms tell.
    this.#topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
        actions: ["sns:Publish"],
        resources: [this.#topic.topicArn],
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    );
    if (email !== undefined) this.#topic.addSubscription(new EmailSubscription(email));
  }

  watch(id: string, watched: Watched): void {
    const section = SECTIONS[watched.section];
    const unless = watched.unless === true;
    const alarm = new Alarm(this, id, {
      alarmDescription: `${watched.what}. What to do: docs/operations.md, "${section}"`,
      metric: watched.metric,
      threshold: watched.above ?? 0,
      comparisonOperator: unless
        ? ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD
        : ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: watched.periods ?? 1,
      treatMissingData: unless ? TreatMissingData.BREACHING : TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(this.#topic));
    alarm.addOkAction(new SnsAction(this.#topic));
    this.alarms.push(alarm);
  }

  /** What every Lambda is watched for. */
  watchFunctions(functions: readonly RustFunction[]): void {
    for (const { artefact, function: lambda, lostEvents } of functions) {
      this.watch(`${artefact}-errors`, {
        section: "lambdaErrors",
        what: `The Lambda ${artefact} has failed`,
        metric: lambda.metricErrors({ period: PERIOD }),
      });
      this.watch(`${artefact}-throttles`, {
        section: "lambdaThrottles",
        what: `The Lambda ${artefact} was not run, because too many were running`,
        metric: lambda.metricThrottles({ period: PERIOD }),
      });
      if (lostEvents === undefined) continue;
      this.watch(`${artefact}-lost-events`, {
        section: "lostEvents",
        what: `Events for the Lambda ${artefact} were given up`,
        metric: lostEvents.metricApproximateNumberOfMessagesVisible({
          period: PERIOD,
          statistic: "Maximum",
        }),
      });
    }
  }
}
