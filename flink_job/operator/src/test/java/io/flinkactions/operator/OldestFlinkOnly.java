package io.flinkactions.operator;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/**
 * Takes its time and would find out the same on every Flink: what is tested has nothing of Flink's
 * in it. {@link FlinkVersionTest} holds that of the packages that are tested so.
 */
@Target({ElementType.TYPE, ElementType.METHOD})
@Retention(RetentionPolicy.RUNTIME)
@EnabledIfSystemProperty(named = "flinkactions.test.flink-version", matches = "2\\.0\\..*")
public @interface OldestFlinkOnly {}
