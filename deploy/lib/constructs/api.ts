/**
 * The HTTP API: routes, who may call them, from which pages, and a log of calls
 * without what they carry. It must not know what the Lambdas do.
 */
import { RemovalPolicy, Stack } from "aws-cdk-lib";
import {
  CorsHttpMethod,
  HttpApi,
  HttpMethod,
  HttpStage,
  LogGroupLogDestination,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpIamAuthorizer } from "aws-cdk-lib/aws-apigatewayv2-authorizers";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import { Policy, type IRole } from "aws-cdk-lib/aws-iam";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { APPLICATION } from "../names";
import { allow } from "../rights";
import type { RustFunction } from "./function";

/** What a browser that signs its requests sends. */
const ALLOWED_HEADERS = [
  "Content-Type",
  "X-Amz-Date",
  "Authorization",
  "X-Api-Key",
  "X-Amz-Security-Token",
  "X-Amz-User-Agent",
  "X-Amz-Content-Sha256",
  "cognitoIdToken",
];

/** One line for each call. No header is in it: one of them is a token. */
const CALL = AccessLogFormat.custom(
  JSON.stringify({
    requestId: "$context.requestId",
    time: "$context.requestTime",
    route: "$context.routeKey",
    status: "$context.status",
    ip: "$context.identity.sourceIp",
    milliseconds: "$context.responseLatency",
    error: "$context.error.message",
    integrationError: "$context.integrationErrorMessage",
  }),
);

export interface Route {
  readonly method: HttpMethod;
  readonly path: string;
  readonly target: RustFunction;
}

export interface ApiProps {
  readonly routes: readonly Route[];
  readonly allowedOrigins: readonly string[];
  /** The role of signed-in agents. */
  readonly callers: IRole;
}

export class RecordingApi extends Construct {
  readonly api: HttpApi;
  readonly url: string;

  constructor(scope: Construct, id: string, props: ApiProps) {
    super(scope, id);
    this.api = new HttpApi(this, "RecordingAPI", {
      apiName: `${APPLICATION}-RecordingAPI`,
      createDefaultStage: false,
      corsPreflight: {
        allowOrigins: [...props.allowedOrigins],
        allowMethods: [
          CorsHttpMethod.GET,
          CorsHttpMethod.POST,
          CorsHttpMethod.PUT,
          CorsHttpMethod.DELETE,
          CorsHttpMethod.OPTIONS,
        ],
        allowHeaders: ALLOWED_HEADERS,
      },
    });
    const log = new LogGroup(this, "AccessLog", {
      retention: RetentionDays.TWO_MONTHS,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const stage = new HttpStage(this, "Stage", {
      httpApi: this.api,
      stageName: "$default",
      autoDeploy: true,
      detailedMetricsEnabled: true,
      accessLogSettings: { destination: new LogGroupLogDestination(log), format: CALL },
    });
    this.url = stage.url;
    const authorizer = new HttpIamAuthorizer();
    for (const { method, path, target } of props.routes) {
      this.api.addRoutes({
        path,
        methods: [method],
        integration: new HttpLambdaIntegration(target.artefact, target.function),
        authorizer,
      });
    }
    const { partition, region, account } = Stack.of(this);
    const arn = `arn:${partition}:execute-api:${region}:${account}:${this.api.apiId}/$default`;
    // A policy of this stack, for the role may be of another one.
    new Policy(this, "Callers", {
      roles: [props.callers],
      statements: [
        allow(
          ["execute-api:Invoke"],
          props.routes.map(({ method, path }) => `${arn}/${method}${path}`),
        ),
      ],
    });
  }
}
