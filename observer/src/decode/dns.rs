//! Answers of name servers: which name was asked for, and the addresses that it has.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::ParsedName;
use domain::base::{Message, ParseRecordData, ParsedRecord, Ttl};
use domain::rdata::{A, Aaaa, Cname};
use observer_ebpf::dns::Answer as Raw;

use super::{Body, DecodeError, fixed};

/// Records of one answer that are looked at: it is the sender who says how many there are.
const MAX_RECORDS: usize = 128;

/// What a name server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The name that was asked for, without a dot at its end; what is no letter of a name is spelled out.
    pub(crate) name: String,
    /// Its addresses, each with the seconds for which it may be used. None where there are none, or where something
    /// else was asked for.
    pub(crate) addresses: Vec<(IpAddr, u32)>,
}

pub(super) fn answer(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (raw, rest): (Raw, _) = fixed(bytes)?;
    // What stands behind the bytes that the record has is what the ring adds.
    let message = rest.get(..raw.len as usize).ok_or(DecodeError::Truncated(bytes.len()))?;
    Ok(Body::Answer(parse(message).map(Box::new)))
}

/// Understands a message, or the first part of one: addresses that are whole count. `None` where this is no answer in
/// the form of DNS; anybody can send such from that port.
fn parse(message: &[u8]) -> Option<Answer> {
    let message = Message::from_octets(message).ok()?;
    let header = message.header();
    if !header.qr() || header.opcode() != Opcode::QUERY {
        return None;
    }
    let question = message.first_question()?;
    let mut answer = Answer { name: question.qname().to_string(), addresses: Vec::new() };
    let asks = matches!(question.qtype(), Rtype::A | Rtype::AAAA);
    if !asks || header.rcode() != Rcode::NOERROR || question.qname().is_root() {
        return Some(answer);
    }
    let (mut name, mut ttl) = (*question.qname(), Ttl::from_secs(u32::MAX));
    // As resolvers do it: from one name to the next one, in the order in which they stand there.
    for record in message.answer().ok()?.take(MAX_RECORDS).map_while(Result::ok) {
        if record.class() != Class::IN || record.owner() != name {
            continue;
        }
        match record.rtype() {
            Rtype::CNAME => {
                let Some(alias) = data::<Cname<ParsedName<&[u8]>>>(&record) else { break };
                name = *alias.cname();
                ttl = ttl.min(record.ttl());
            }
            Rtype::A => {
                let Some(address) = data::<A>(&record) else { break };
                answer.addresses.push((address.addr().into(), ttl.min(record.ttl()).as_secs()));
            }
            Rtype::AAAA => {
                let Some(address) = data::<Aaaa>(&record) else { break };
                answer.addresses.push((address.addr().into(), ttl.min(record.ttl()).as_secs()));
            }
            _ => {}
        }
    }
    Some(answer)
}

/// What a record holds, if that is as its type has it.
fn data<'a, T: ParseRecordData<'a, &'a [u8]>>(record: &ParsedRecord<'a, &'a [u8]>) -> Option<T> {
    Some(record.to_record::<T>().ok()??.into_data())
}

#[cfg(test)]
mod tests;
