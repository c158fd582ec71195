# environment.sh PEER FOLDER: the locked environment of a peer, in a folder of its own.
# One that does not install leaves FOLDER.failed with what was said, and is tried again next time.
set -u
mkdir -p "$(dirname "$2")"
rm -rf "$2" "$2.failed" "$2.done"
install() {
  "$2/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1/requirements.txt" || return 1
  # a library whose own list of dependencies cannot be met any more, and need not be
  if [ -f "$1/without-dependencies.txt" ]; then
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$1/without-dependencies.txt" || return 1
  fi
}
echo "$(basename "$1"): installing"
if "${PYTHON:-python3}" -m venv "$2" > "$2.log" 2>&1 && install "$1" "$2" >> "$2.log" 2>&1; then
  rm -f "$2.log"
  touch "$2.done"
else
  rm -rf "$2"
  mv "$2.log" "$2.failed"
  echo "$(basename "$1") does not install: $(grep -i '^error' "$2.failed" | head -n 1)"
fi
