/** A running part of the system; disposing withdraws it, drains what runs and closes. */
export interface Role extends AsyncDisposable {
  readonly name: string;
}
