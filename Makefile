# Each target is a script; read those.
.PHONY: run test check deb
run:
	@packaging/run-local
test:
	@tests/run
check:
	@tests/check
deb:
	@packaging/build-deb
