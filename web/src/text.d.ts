/** A file as text: esbuild puts it into the bundle. */
declare module "*.txt" {
  const text: string;
  export default text;
}
