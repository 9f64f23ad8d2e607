# Each target is a script; read those.
.PHONY: run test check fuzz advisories deb apt-repository bench bench-million
run:
	@packaging/run-local
test:
	@tests/run
check:
	@tests/check
# make fuzz SECONDS=600, for each target
fuzz:
	@tests/fuzz/run $(SECONDS)
advisories:
	@tests/advisories
deb:
	@packaging/build-deb
# make apt-repository DIRECTORY=/srv/apt KEY=releases@example.org
built = $(or $(CARGO_TARGET_DIR),target)
apt-repository:
	@packaging/apt-repository $(DIRECTORY) $(KEY) $(wildcard $(built)/debian/alertd_*.deb $(built)/*/debian/alertd_*.deb)
bench:
	@benches/run
bench-million:
	@benches/million
