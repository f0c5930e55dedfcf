//! Tests of the expression language through its public interface.

mod examples;

mod support;
