// The process's environment variables: the only place that touches them.

/** Variables by name; a variable that is not set is absent. */
export type Environment = Readonly<Record<string, string | undefined>>;

export const environment: Environment = process.env;
