// Prints what the stacks find in Parameter Store.

import { storedParameters } from "../configure/stored";

console.log(JSON.stringify(await storedParameters()) ?? "undefined");
