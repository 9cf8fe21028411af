# What changes build/ (packages, builds, models) runs one at a time in a folder: source this in its own
# script. What it starts keeps the lock too, until the last of it has ended.
mkdir -p build
exec 9>build/.lock
flock -n 9 || { say "waiting for another set-up in this folder"; flock 9; }
