//! What a real kube-apiserver 1.36 answered, against what is made of the same input here.

mod changed;
mod created;
mod refused;
