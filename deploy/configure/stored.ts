// What the stacks read when no file says it, as in the pipeline's build.

import { ParameterStore } from "./store";

/**
 * The parameters in Parameter Store, by name. Nothing if none are there, or if there are
 * no AWS credentials to ask with; an account that refuses to be asked is an error.
 */
export async function storedParameters(): Promise<Record<string, string> | undefined> {
  // The CDK CLI names the region that it deploys to.
  const region = process.env["CDK_DEFAULT_REGION"];
  try {
    const values = await new ParameterStore(region).read();
    return Object.keys(values).length > 0 ? { ...values } : undefined;
  } catch (error) {
    if (error instanceof Error && error.name === "CredentialsProviderError") return undefined;
    throw error;
  }
}
