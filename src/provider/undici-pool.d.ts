// The pool alone: the package's entry also loads fetch, web sockets and caches, 13 MB that a gateway never uses.
declare module 'undici/lib/dispatcher/pool.js' {
  export { Pool as default } from 'undici';
}
