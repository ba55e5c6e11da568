/**
 * Makes the templates: of the product, or of a pipeline that deploys it. Only here
 * is it read what the machine and the command line say.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { storedParameters } from "../configure/stored";
import { backendStacks } from "../lib/backend-stage";
import { findParameters } from "../lib/parameters";
import { PipelineStack } from "../lib/pipeline-stack";
import { settingsFrom } from "../lib/settings";
import { SOURCES } from "../lib/sources";

/** Where nothing can be deployed, the templates are for this account and region. */
const EXAMPLE = { account: "111122223333", region: "eu-central-1" } as const;

const project = join(import.meta.dirname, "..");
const repository = join(project, "..");
const variables = process.env;
// The CDK CLI sets it if it has credentials.
const account = variables["CDK_DEFAULT_ACCOUNT"];
const region = variables["CDK_DEFAULT_REGION"];
const env = account === undefined ? EXAMPLE : { account, ...(region && { region }) };

const app = new App();
const given = (key: string): string | undefined => {
  const value: unknown = app.node.tryGetContext(key);
  return typeof value === "string" ? value : undefined;
};
app.node.setContext(SOURCES.repository, given(SOURCES.repository) ?? repository);
app.node.setContext(SOURCES.lambdas, given(SOURCES.lambdas) ?? join(targetFolder(), "lambda"));
app.node.setContext(SOURCES.placeholders, account === undefined);

const parameters = await findParameters({
  named: given("config"),
  cache: join(project, "config.cache.json"),
  example: join(project, "config.example.json"),
  hasAccount: account !== undefined,
  stored: storedParameters,
  say: (line) => process.stderr.write(`${line}\n`),
});
const settings = settingsFrom(parameters);
if (settings.pipeline === undefined) {
  backendStacks(app, settings, env);
} else {
  new PipelineStack(app, "CdkPipelineStack", { env, settings, pipeline: settings.pipeline });
}
app.synth();

/** Where `./dev` builds. */
function targetFolder(): string {
  const cache = variables["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return variables["CARGO_TARGET_DIR"] ?? join(cache, "recorder", "target");
}
