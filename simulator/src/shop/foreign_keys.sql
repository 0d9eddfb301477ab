ALTER TABLE shop.customers ADD FOREIGN KEY (shop_id) REFERENCES shop.shops;
ALTER TABLE shop.products ADD FOREIGN KEY (shop_id) REFERENCES shop.shops;
ALTER TABLE shop.orders ADD FOREIGN KEY (customer_id) REFERENCES shop.customers;
ALTER TABLE shop.order_items ADD FOREIGN KEY (order_id) REFERENCES shop.orders ON DELETE CASCADE;
ALTER TABLE shop.order_items ADD FOREIGN KEY (product_id) REFERENCES shop.products;
ALTER TABLE shop.reviews ADD FOREIGN KEY (product_id) REFERENCES shop.products ON DELETE CASCADE;
