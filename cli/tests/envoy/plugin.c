/* The least that loads as a native plugin. */
unsigned proxy_set_tick_period_milliseconds(unsigned period);
void proxy_abi_version_0_2_1(void) {}
unsigned proxy_on_configure(unsigned root, unsigned size) {
  (void)root, (void)size;
  return proxy_set_tick_period_milliseconds(1000) == 0;
}
