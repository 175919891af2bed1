/** A running part of the system; disposing withdraws it, drains what runs and closes. */
export interface Role extends AsyncDisposable {
  readonly name: string;
  /** Pieces of work that the end cut short; known once it is disposed. Absent for a role that cuts none. */
  readonly abandoned?: number;
}
