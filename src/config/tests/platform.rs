//! Variables that Kubernetes and Docker set in a container for other services.

use super::loaded;

#[test]
fn a_service_of_the_platform_that_is_called_redis_changes_nothing() {
    let environment = [
        ("REDIS_SERVICE_HOST", "10.43.7.19"),
        ("REDIS_SERVICE_PORT", "6379"),
        ("REDIS_PORT", "tcp://10.43.7.19:6379"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.43.7.19"),
        ("ALERTD_ENGINE_REDIS_PORT", "tcp://10.43.7.20:6379"),
        ("ALERTD_HTTP_SERVICE_HOST", "10.43.7.21"),
    ];
    let (resolved, plain) = (loaded("", &environment), loaded("", &[]));
    assert_eq!((resolved.config.clone(), resolved.warnings.clone()), (plain.config, plain.warnings));
    let names = "ALERTD_ENGINE_REDIS_PORT, ALERTD_HTTP_SERVICE_HOST, REDIS_PORT";
    assert!(resolved.ignored().unwrap().ends_with(&format!("ignored: {names}")), "{:?}", resolved.ignored());
    assert_eq!(loaded("", &[]).ignored(), None);
    // With the engine that they seem to be for they set nothing either.
    let redis = loaded("", &[("REDIS_HOST", "redis"), ("REDIS_PORT", "tcp://10.43.7.19:6379")]);
    assert_eq!((redis.config.engine.redis.host.as_str(), redis.config.engine.redis.port), ("redis", 6379));
}
