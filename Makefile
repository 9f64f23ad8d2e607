# Each target is a script; read those.
.PHONY: run test check deb bench bench-million
run:
	@packaging/run-local
test:
	@tests/run
check:
	@tests/check
deb:
	@packaging/build-deb
bench:
	@benches/run
bench-million:
	@benches/million
