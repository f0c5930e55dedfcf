//! Operations with one answer: bind, add, modify, delete, rename, compare, extended.

use bytes::Bytes;

use super::connection::Client;
use crate::control::Control;
use crate::entry::Entry;
use crate::error::LdapError;
use crate::message::{
    Authentication, BindRequest, Change, ExtendedRequest, ExtendedResponse, Message, ModifyDnRequest,
    ModifyRequest, Op,
};
use crate::result::{LdapResult, ResultCode};

impl Client {
    /// Binds with a name and a password. Active Directory takes a DN, `user@domain` and `DOMAIN\user`.
    ///
    /// # Errors
    /// When the connection is not encrypted, when the password is empty (the server would take that for an
    /// anonymous bind and say *success*), or when the server refuses.
    pub async fn simple_bind(&mut self, name: &str, password: &[u8]) -> Result<(), LdapError> {
        if password.is_empty() {
            return Err(LdapError::Settings {
                server: self.server.to_string(),
                reason: "the password is empty, which would bind anonymously",
            });
        }
        if !self.may_send_password {
            return Err(LdapError::PlaintextPassword { server: self.server.to_string() });
        }
        self.bind(name, Authentication::Simple(Bytes::copy_from_slice(password))).await
    }

    /// Binds as nobody.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn anonymous_bind(&mut self) -> Result<(), LdapError> {
        self.bind("", Authentication::Simple(Bytes::new())).await
    }

    /// Binds as whom the client certificate names (SASL EXTERNAL).
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn external_bind(&mut self, authorization_id: Option<&str>) -> Result<(), LdapError> {
        let identity = authorization_id.map(|id| Bytes::copy_from_slice(id.as_bytes()));
        self.bind("", Authentication::Sasl("EXTERNAL".to_owned(), identity)).await
    }

    async fn bind(&mut self, name: &str, auth: Authentication) -> Result<(), LdapError> {
        const OPERATION: &str = "bind";
        let request = BindRequest { version: 3, name: name.to_owned(), auth };
        let answer = self.call(OPERATION, Op::BindRequest(request), Vec::new()).await?;
        match answer.op {
            Op::BindResponse(result, _) => self.success(OPERATION, name, result),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn add(&mut self, entry: Entry, controls: Vec<Control>) -> Result<(), LdapError> {
        const OPERATION: &str = "add";
        let dn = entry.dn().to_owned();
        match self.call(OPERATION, Op::AddRequest(entry), controls).await?.op {
            Op::AddResponse(result) => self.success(OPERATION, &dn, result),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Changes an entry.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn modify(
        &mut self,
        dn: &str,
        changes: Vec<Change>,
        controls: Vec<Control>,
    ) -> Result<(), LdapError> {
        const OPERATION: &str = "modify";
        let request = ModifyRequest { dn: dn.to_owned(), changes };
        match self.call(OPERATION, Op::ModifyRequest(request), controls).await?.op {
            Op::ModifyResponse(result) => self.success(OPERATION, dn, result),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Deletes an entry.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&mut self, dn: &str, controls: Vec<Control>) -> Result<(), LdapError> {
        const OPERATION: &str = "delete";
        match self.call(OPERATION, Op::DeleteRequest(dn.to_owned()), controls).await?.op {
            Op::DeleteResponse(result) => self.success(OPERATION, dn, result),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Renames or moves an entry.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn modify_dn(
        &mut self,
        request: ModifyDnRequest,
        controls: Vec<Control>,
    ) -> Result<(), LdapError> {
        const OPERATION: &str = "rename";
        let dn = request.dn.clone();
        match self.call(OPERATION, Op::ModifyDnRequest(request), controls).await?.op {
            Op::ModifyDnResponse(result) => self.success(OPERATION, &dn, result),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Says whether an entry has a value.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn compare(&mut self, dn: &str, attribute: &str, value: &[u8]) -> Result<bool, LdapError> {
        const OPERATION: &str = "compare";
        let value = Bytes::copy_from_slice(value);
        let request = Op::CompareRequest(dn.to_owned(), attribute.to_owned(), value);
        match self.call(OPERATION, request, Vec::new()).await?.op {
            Op::CompareResponse(result) => match result.code {
                ResultCode::CompareTrue => Ok(true),
                ResultCode::CompareFalse => Ok(false),
                _ => Err(self.refused(OPERATION, dn, result)),
            },
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Calls an operation by name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn extended(
        &mut self,
        name: &str,
        value: Option<Bytes>,
    ) -> Result<ExtendedResponse, LdapError> {
        const OPERATION: &str = "extended operation";
        let request = ExtendedRequest { name: name.to_owned(), value };
        match self.call(OPERATION, Op::ExtendedRequest(request), Vec::new()).await?.op {
            Op::ExtendedResponse(response) if response.result.is_success() => Ok(response),
            Op::ExtendedResponse(response) => Err(self.refused(OPERATION, name, response.result)),
            other => Err(self.unexpected(OPERATION, &other)),
        }
    }

    /// Sends a request and waits for its one answer.
    async fn call(
        &mut self,
        operation: &'static str,
        op: Op,
        controls: Vec<Control>,
    ) -> Result<Message, LdapError> {
        let id = self.send(operation, op, controls).await?;
        loop {
            let answer = self.receive(operation, id, Some(self.timeout)).await?;
            if !matches!(answer.op, Op::Intermediate(..)) {
                self.finished();
                return Ok(answer);
            }
        }
    }

    fn success(&self, operation: &'static str, object: &str, result: LdapResult) -> Result<(), LdapError> {
        if result.is_success() { Ok(()) } else { Err(self.refused(operation, object, result)) }
    }

    pub(super) fn refused(&self, operation: &'static str, object: &str, result: LdapResult) -> LdapError {
        LdapError::Refused {
            server: self.server.to_string(),
            operation,
            object: object.to_owned(),
            result: Box::new(result),
        }
    }

    pub(super) fn unexpected(&mut self, operation: &'static str, op: &Op) -> LdapError {
        self.protocol_error(operation, format!("a {} came as the answer", op.name()))
    }
}
