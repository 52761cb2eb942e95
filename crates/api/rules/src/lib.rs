//! What a kind of object does by itself: the defaults that its schema does not tell, and the checks
//! between its fields. Pure: objects in, objects or causes out.

pub mod defaults;
pub mod qos;
pub mod validate;
