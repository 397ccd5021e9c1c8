delete from registration
