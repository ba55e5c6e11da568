/**
 * Alarms and the dashboard of the backend. The Lambdas tell metrics of their own
 * (docs/control-plane.md); those of recorders are counted in the reports that they
 * print (docs/report.md).
 */
import { Duration, NestedStack } from "aws-cdk-lib";
import {
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  Metric,
  type IMetric,
} from "aws-cdk-lib/aws-cloudwatch";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { FilterPattern, type ILogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { RecordingAlarms } from "./constructs/alarms";
import type { RustFunction } from "./constructs/function";
import { APPLICATION, CLUSTER, METRICS } from "./names";
import worker from "./worker.json";

const PERIOD = Duration.minutes(5);

/** A silent sweeper is told after it has missed three turns. */
const SILENT_AFTER = Duration.minutes(3 * worker.sweeperMinutes);

/** The group cannot be made larger, or not as fast as it is needed. */
const NO_CAPACITY = { reservationAbove: 100, periods: 2 } as const;

export interface MonitoringProps {
  readonly email?: string | undefined;
  readonly api: HttpApi;
  readonly functions: readonly RustFunction[];
  readonly taskLog: ILogGroup;
  /** Of instances; none on Fargate and in an emulator. */
  readonly capacityProvider?: string | undefined;
}

export class MonitoringStack extends NestedStack {
  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id, { description: "Video call recording: alarms and dashboard" });
    const metrics = { ...told(), ...counted(props.taskLog) };
    const serverErrors = props.api.metricServerError({ period: PERIOD, statistic: "Sum" });
    const alarms = new RecordingAlarms(this, "Alarms", { email: props.email });
    alarms.watch("NotComplete", {
      section: "notComplete",
      what: "A recording has ended without a whole file",
      metric: metrics.notComplete,
    });
    alarms.watch("SweptNotComplete", {
      section: "notComplete",
      what: "A recording of whose end no event told has ended without a whole file",
      metric: metrics.sweptNotComplete,
    });
    alarms.watch("RecorderFailures", {
      section: "recorderFailures",
      what: "A recorder has ended with an exit code other than 0",
      metric: metrics.recorderFailures,
    });
    alarms.watch("UploadErrors", {
      section: "uploadErrors",
      what: "A recorder could not store all of its recording",
      metric: metrics.uploadErrors,
    });
    alarms.watch("OrphansRepaired", {
      section: "orphans",
      what: "Something that nobody had told of was found and mended",
      metric: metrics.orphans,
    });
    alarms.watch("RepairFailures", {
      section: "repairFailures",
      what: "The sweeper could not mend what it found, three times in a row",
      metric: metrics.repairFailures,
      periods: 3,
    });
    alarms.watch("SweeperSilent", {
      section: "sweeperSilent",
      what: "The sweeper does not run",
      metric: metrics.turns,
      unless: true,
    });
    alarms.watch("StartsRefused", {
      section: "noCapacity",
      what: "ECS has refused to run a recording",
      metric: metrics.startsRefused,
    });
    const reservation = capacity(props.capacityProvider);
    if (reservation !== undefined) {
      alarms.watch("NoCapacity", {
        section: "noCapacity",
        what: "Recordings wait for instances that do not come",
        metric: reservation,
        above: NO_CAPACITY.reservationAbove,
        periods: NO_CAPACITY.periods,
      });
    }
    alarms.watch("ApiErrors", {
      section: "apiErrors",
      what: "The API has answered with an error of its own",
      metric: serverErrors,
    });
    alarms.watchFunctions(props.functions);
    this.dashboard(alarms, {
      "Starts and stops": [metrics.starts, metrics.stops],
      "Recordings under way": [metrics.open],
      "How recordings ended": [
        metrics.settled,
        metrics.notComplete,
        metrics.sweptNotComplete,
        metrics.orphans,
      ],
      Recorders: [metrics.recorderFailures, metrics.uploadErrors],
      "API: 95 % of calls are faster (ms)": [metrics.startLatency, metrics.stopLatency],
      "API: errors": [serverErrors, metrics.startsRefused],
      "Lambdas: errors": props.functions.map(({ function: lambda }) => lambda.metricErrors()),
      "Instances: reserved (%)": reservation === undefined ? [] : [reservation],
    });
  }

  private dashboard(alarms: RecordingAlarms, graphs: Record<string, IMetric[]>): void {
    const dashboard = new Dashboard(this, "Dashboard", {
      dashboardName: `${APPLICATION}-Recording`,
    });
    dashboard.addWidgets(
      new AlarmStatusWidget({ title: "Alarms", alarms: alarms.alarms, width: 24, height: 5 }),
    );
    const drawn = Object.entries(graphs).filter(([, left]) => left.length > 0);
    const widgets = drawn.map(([title, left]) => new GraphWidget({ title, left, width: 12 }));
    for (let index = 0; index < widgets.length; index += 2) {
      dashboard.addWidgets(...widgets.slice(index, index + 2));
    }
  }
}

/** What the Lambdas tell. */
function told() {
  const of = (name: string, lambda: string, statistic = "Sum", period = PERIOD, reason?: string) =>
    new Metric({
      namespace: METRICS,
      metricName: name,
      dimensionsMap: { function: lambda, ...(reason !== undefined && { reason }) },
      statistic,
      period,
    });
  return {
    starts: of("Starts", "start-recording"),
    stops: of("Stops", "stop-recording"),
    startLatency: of("Latency", "start-recording", "p95"),
    stopLatency: of("Latency", "stop-recording", "p95"),
    startsRefused: of("Rejects", "start-recording", "Sum", PERIOD, "no_capacity"),
    settled: of("Settled", "recording-task-state"),
    notComplete: of("NotComplete", "recording-task-state"),
    sweptNotComplete: of("NotComplete", "recording-sweeper"),
    open: of("OpenRecordings", "recording-sweeper", "Maximum"),
    orphans: of("OrphansRepaired", "recording-sweeper"),
    repairFailures: of("RepairFailures", "recording-sweeper"),
    turns: of("OpenRecordings", "recording-sweeper", "SampleCount", SILENT_AFTER),
  };
}

/** What is counted in the reports of recorders, one line of JSON each. */
function counted(log: ILogGroup) {
  const count = (name: string, pattern: string) => {
    const filter = log.addMetricFilter(name, {
      filterPattern: FilterPattern.literal(pattern),
      metricNamespace: METRICS,
      metricName: name,
      metricValue: "1",
    });
    return filter.metric({ statistic: "Sum", period: PERIOD });
  };
  return {
    recorderFailures: count("RecorderFailures", "{ $.version >= 1 && $.exit_code > 0 }"),
    uploadErrors: count(
      "UploadErrors",
      '{ $.version >= 1 && ($.blame = "destination" || $.media = "upload_open") }',
    ),
  };
}

/** How much of the instances is asked for: more than 100 % waits. */
function capacity(provider: string | undefined): Metric | undefined {
  if (provider === undefined) return undefined;
  return new Metric({
    namespace: "AWS/ECS/ManagedScaling",
    metricName: "CapacityProviderReservation",
    dimensionsMap: { ClusterName: CLUSTER, CapacityProviderName: provider },
    statistic: "Average",
    period: PERIOD,
  });
}
