ALTER TABLE star.stores ADD FOREIGN KEY (account_id) REFERENCES star.accounts;
ALTER TABLE star.sales ADD FOREIGN KEY (date_id) REFERENCES star.dates;
ALTER TABLE star.sales ADD FOREIGN KEY (store_id) REFERENCES star.stores;
ALTER TABLE star.sales ADD FOREIGN KEY (product_id) REFERENCES star.products;
