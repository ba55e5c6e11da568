/**
 * A Lambda in Rust: its binary, its rights, its log, and where its lost events go.
 * It must not know what the Lambda does.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { type Rule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Architecture, Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import { APPLICATION } from "../names";
import { allow, statements, type Holder, type Things } from "../rights";
import { folder, mayUsePlaceholders } from "../sources";

/** The longest that a queue keeps what is in it. */
const LOST_EVENTS_KEPT = Duration.days(14);

/** API Gateway waits for 30 s, and a start has to be taken back within them. */
export const USUAL_TIMEOUT = Duration.seconds(20);

/** As long as a Lambda can take: those that repair files need it. */
export const LONGEST_TIMEOUT = Duration.minutes(15);

export interface RustFunctionProps {
  /** The name of its binary and of its rights. */
  readonly artefact: Exclude<Holder, "recorder">;
  /** What other parts of a solution know it by; without it any name. */
  readonly name?: string;
  readonly description: string;
  readonly timeout?: Duration;
  readonly environment: Record<string, string>;
  readonly things: Things;
  /** It is called by events: those that it fails at are kept. */
  readonly events?: boolean;
}

export class RustFunction extends Construct {
  readonly function: Function;
  readonly artefact: string;
  /** Events that were given up; only of those that are called by events. */
  readonly lostEvents?: Queue;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    this.artefact = props.artefact;
    const name = props.name === undefined ? undefined : `${APPLICATION}-${props.name}`;
    // Not named after the function: the log of an earlier one of that name outlives it.
    const logGroup = new LogGroup(this, "Log", {
      retention: RetentionDays.TWO_MONTHS,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      description: `${APPLICATION}: ${props.artefact}`,
    });
    role.addToPolicy(
      allow(["logs:CreateLogStream", "logs:PutLogEvents"], [`${logGroup.logGroupArn}:*`]),
    );
    for (const statement of statements(Stack.of(this), props.artefact, props.things)) {
      role.addToPolicy(statement);
    }
    if (props.events === true) {
      this.lostEvents = new Queue(this, "LostEvents", {
        encryption: QueueEncryption.SQS_MANAGED,
        enforceSSL: true,
        retentionPeriod: LOST_EVENTS_KEPT,
      });
      role.addToPolicy(allow(["sqs:SendMessage"], [this.lostEvents.queueArn]));
    }
    const queue = this.lostEvents;
    this.function = new Function(this, "Function", {
      ...(name !== undefined && { functionName: name }),
      description: props.description,
      runtime: Runtime.PROVIDED_AL2023,
      architecture: Architecture.X86_64,
      handler: "bootstrap",
      code: binary(this, props.artefact),
      memorySize: 256,
      timeout: props.timeout ?? USUAL_TIMEOUT,
      environment: props.environment,
      role,
      logGroup,
      ...(queue !== undefined && {
        onFailure: { bind: () => ({ destination: queue.queueArn }) },
      }),
    });
  }

  /** Has a rule call it; what cannot be delivered is kept like what failed. */
  calledBy(rule: Rule): void {
    if (this.lostEvents === undefined) throw new Error(`${this.artefact} is not for events`);
    rule.addTarget(new LambdaFunction(this.function, { deadLetterQueue: this.lostEvents }));
  }
}

/**
 * What `./dev lambdas` built. A machine without Rust can make templates all the
 * same, but nothing that could be deployed.
 */
function binary(scope: Construct, artefact: string): Code {
  const built = join(folder(scope, "lambdas"), artefact);
  if (existsSync(join(built, "bootstrap"))) return Code.fromAsset(built);
  if (!mayUsePlaceholders(scope)) {
    throw new Error(
      `${join(built, "bootstrap")} is missing: build it with ./dev lambdas, ` +
        "or say with -c lambdas=FOLDER where it is",
    );
  }
  return Code.fromAsset(join(import.meta.dirname, "../../placeholder"));
}
