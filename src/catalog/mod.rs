//! Tables and types as PostgreSQL describes them, bound to forms.
