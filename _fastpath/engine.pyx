"""The engine: owns the C side of an image and a state, and opens the doors to Python.

Python allocates every array; here their addresses are taken once, after Cython has
compared each layout with its struct.  Methods that walk packets release the GIL.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from _fastpath.address cimport addr_t
from _fastpath.image cimport (
    address_t,
    candidate_t,
    classifier_t,
    device_t,
    fdb_t,
    fib_rule_t,
    group_t,
    hook_t,
    host_t,
    interface_t,
    lpm_node_t,
    match_t,
    neighbour_t,
    node_t,
    pattern_t,
    range_t,
    route_t,
    rule_t,
    set_t,
    target_t,
    vxlan_t,
)
from _fastpath.conntrack_table cimport CONNECTIONS_RESERVE, conntrack_collect, conntrack_rehash
from _fastpath.packet cimport BUFFER_SIZE, FRAME_MAX, packet_load, packet_parse
from _fastpath.path cimport walk_from_device, walk_from_node
from _fastpath.sets cimport sets_begin, sets_rehash
from _fastpath.state cimport (
    budget_t,
    peer_t,
    CUTS_MAX,
    PENDING_MAX,
    choice_t,
    connection_t,
    fragment_queue_t,
    counted_t,
    hashlimit_t,
    learned_t,
    memory_t,
    recent_t,
    seen_t,
    set_element_t,
)
from _fastpath.trace cimport (
    OUTPUT_RESERVE, STEPS_MAX, TAPS_RESERVE, event_t, tap_t, trace_has_room, trace_intern,
    trace_rehash,
)


cdef void record_begin(record_t* record, const packet_t* packet, uint32_t number) noexcept nogil:
    memset(record, 0, sizeof(record_t))
    record.packet = number
    record.flow = 0xFFFFFFFFu
    record.path = 0xFFFFFFFFu
    record.place = record.entry = -0x7FFFFFFF - 1
    record.family = packet.family
    record.proto = packet.proto
    record.sport = packet.sport
    record.dport = packet.dport
    record.tcp_flags = packet.tcp_flags
    record.length = packet.length
    record.src = packet.src
    record.dst = packet.dst


cdef void record_end(record_t* record, walk_t* walk) noexcept nogil:
    record.verdict = walk.verdict
    record.reason = walk.reason
    record.place = walk.place
    record.end_src = walk.packet.src
    record.end_dst = walk.packet.dst
    record.end_sport = walk.packet.sport
    record.end_dport = walk.packet.dport
    record.end_ttl = walk.packet.ttl
    record.end_family = walk.packet.family
    record.path = trace_intern(walk.trace)


cdef check_connections(array):
    """Cython compares no struct nested twice: here its offsets are compared by hand."""
    cdef connection_t row
    cdef char* at = <char*>&row
    offsets = {
        "original": <char*>&row.original - at, "reply": <char*>&row.reply - at,
        "original.dst": <char*>&row.original.dst - at,
        "original.sport": <char*>&row.original.sport - at,
        "original.dport": <char*>&row.original.dport - at,
        "original.node": <char*>&row.original.node - at,
        "original.proto": <char*>&row.original.proto - at,
        "original.family": <char*>&row.original.family - at,
        "expires_ns": <char*>&row.expires_ns - at, "tcp": <char*>&row.tcp - at,
        "tcp.state": <char*>&row.tcp.state - at, "tcp.retrans": <char*>&row.tcp.retrans - at,
        "original.zone": <char*>&row.original.zone - at,
        "original.next": <char*>&row.original.next - at,
        "next_source": <char*>&row.next_source - at,
        "status": <char*>&row.status - at, "mark": <char*>&row.mark - at,
        "older": <char*>&row.older - at, "newer": <char*>&row.newer - at,
        "masquerade": <char*>&row.masquerade - at, "generation": <char*>&row.generation - at,
    }
    if array.dtype.itemsize != sizeof(connection_t):
        raise ValueError(f"connections of {array.dtype.itemsize} bytes, not {sizeof(connection_t)}")
    fields = array.dtype.fields
    for name, offset in offsets.items():
        outer, _, inner = name.partition(".")
        if outer not in fields:
            raise ValueError(f"connections: {outer} expected")
        found = fields[outer][1] + (fields[outer][0].fields[inner][1] if inner else 0)
        if found != offset:
            raise ValueError(f"connections: {name} at {found}, but {offset} expected")


cdef class Engine:
    """An image and a state, ready to walk.

    image_arrays, state_arrays  name -> array, of dataplane.image
    raises                      ValueError if an array's layout is not that of its struct
    """

    def __cinit__(self, image_arrays, state_arrays, uint64_t seed=0):
        self.image_arrays = image_arrays
        self.state_arrays = state_arrays
        self.kept = {}
        memset(&self.image, 0, sizeof(image_t))
        memset(&self.state, 0, sizeof(state_t))
        memset(&self.trace, 0, sizeof(trace_t))
        memset(&self.walk, 0, sizeof(walk_t))
        self.image.seed = seed
        self.trace.steps_kept = STEPS_MAX
        self.point_rules(image_arrays)
        self.point_network(image_arrays)
        self.point_state(state_arrays)
        self.point_trace()
        self.point_packets()

    cdef void point_packets(self):
        cdef uint8_t[::1] buffers = bytearray((PENDING_MAX + CUTS_MAX + 4) * BUFFER_SIZE)
        cdef int i
        self.kept["buffers"] = buffers
        self.packet.buffer = &buffers[0]
        for i in range(PENDING_MAX):
            self.pending[i].buffer = &buffers[(i + 1) * BUFFER_SIZE]
        for i in range(CUTS_MAX):
            self.cuts[i].whole.buffer = &buffers[(PENDING_MAX + 1 + i) * BUFFER_SIZE]
        self.told.buffer = &buffers[(PENDING_MAX + CUTS_MAX + 1) * BUFFER_SIZE]
        self.copied.buffer = &buffers[(PENDING_MAX + CUTS_MAX + 2) * BUFFER_SIZE]
        self.copied_told.buffer = &buffers[(PENDING_MAX + CUTS_MAX + 3) * BUFFER_SIZE]
        self.walk.copied = &self.copied
        self.walk.copied_told = &self.copied_told
        self.walk.cut_max = CUTS_MAX
        self.walk.cuts = &self.cuts[0]
        self.walk.told = &self.told
        self.walk.image = &self.image
        self.walk.state = &self.state
        self.walk.trace = &self.trace
        self.walk.packet = &self.packet
        self.walk.pending = &self.pending[0]

    def point_rules(self, arrays):
        cdef const node_t[::1] nodes = arrays["nodes"]
        cdef const hook_t[::1] hooks = arrays["hooks"]
        cdef const rule_t[::1] rules = arrays["rules"]
        cdef const addr_t[::1] masks = arrays["masks"]
        cdef const match_t[::1] matches = arrays["matches"]
        cdef const target_t[::1] targets = arrays["targets"]
        cdef const interface_t[::1] interfaces = arrays["interfaces"]
        cdef const range_t[::1] ranges = arrays["ranges"]
        cdef const uint32_t[::1] rule_classifiers = arrays["rule_classifiers"]
        cdef const classifier_t[::1] classifiers = arrays["classifiers"]
        cdef const pattern_t[::1] patterns = arrays["patterns"]
        cdef const addr_t[::1] prefix_masks = arrays["prefix_masks"]
        cdef const uint64_t[::1] port_masks = arrays["port_masks"]
        cdef const uint32_t[::1] pattern_filter = arrays["pattern_filter"]
        cdef const uint32_t[::1] candidate_buckets = arrays["candidate_buckets"]
        cdef const candidate_t[::1] candidates = arrays["candidates"]
        cdef const uint32_t[::1] candidate_rules = arrays["candidate_rules"]
        cdef const uint32_t[::1] words = arrays["words"]
        cdef const set_t[::1] sets = arrays["sets"]
        cdef const set_element_t[::1] _ = arrays["set_elements"]    # its layout is compared
        self.image.nodes = &nodes[0]
        self.image.hooks = &hooks[0]
        self.image.rules = &rules[0]
        self.image.masks = &masks[0]
        self.image.matches = &matches[0]
        self.image.targets = &targets[0]
        self.image.interfaces = &interfaces[0]
        self.image.ranges = &ranges[0]
        self.image.rule_classifiers = &rule_classifiers[0]
        self.image.classifiers = &classifiers[0]
        self.image.patterns = &patterns[0]
        self.image.prefix_masks = &prefix_masks[0]
        self.image.port_masks = &port_masks[0]
        self.image.pattern_filter = &pattern_filter[0]
        self.image.candidate_buckets = &candidate_buckets[0]
        self.image.candidates = &candidates[0]
        self.image.candidate_rules = &candidate_rules[0]
        self.image.words = &words[0]
        cdef const uint32_t[::1] sizes = arrays["set_sizes"]
        assert sizes.shape[0] == 2
        self.image.sets = &sets[0]
        self.image.node_count = <uint32_t>nodes.shape[0]
        self.image.rule_count = <uint32_t>rules.shape[0]

    def point_network(self, arrays):
        cdef const device_t[::1] devices = arrays["devices"]
        cdef const fib_rule_t[::1] fib_rules = arrays["fib_rules"]
        cdef const lpm_node_t[::1] lpm = arrays["lpm"]
        cdef const route_t[::1] routes = arrays["routes"]
        cdef const neighbour_t[::1] neighbours = arrays["neighbours"]
        cdef const group_t[::1] groups = arrays["groups"]
        cdef const fdb_t[::1] fdb = arrays["fdb"]
        cdef const host_t[::1] hosts = arrays["hosts"]
        cdef const uint32_t[::1] host_by_address = arrays["host_by_address"]
        cdef const vxlan_t[::1] vxlans = arrays["vxlans"]
        cdef const address_t[::1] addresses = arrays["addresses"]
        cdef const int32_t[::1] bridge_ports = arrays["bridge_ports"]
        cdef const int32_t[::1] wires = arrays["wires"]
        cdef const uint32_t[::1] base = arrays["base"]
        self.image.devices = &devices[0]
        self.image.fib_rules = &fib_rules[0]
        self.image.lpm = &lpm[0]
        self.image.routes = &routes[0]
        self.image.neighbours = &neighbours[0]
        self.image.groups = &groups[0]
        self.image.fdb = &fdb[0]
        self.image.hosts = &hosts[0]
        self.image.host_by_address = &host_by_address[0]
        self.image.vxlans = &vxlans[0]
        self.image.addresses = &addresses[0]
        self.image.bridge_ports = &bridge_ports[0]
        self.image.wires = &wires[0]
        self.image.base = &base[0]
        self.image.device_count = <uint32_t>devices.shape[0]
        counts = arrays["counts"].tolist()
        self.image.neighbour_count = counts[0]
        self.image.fdb_count = counts[1]
        self.image.host_count = counts[2]
        self.image.vxlan_count = counts[3]
        self.image.wire_count = counts[4]
        self.image.group_count = counts[5]

    def point_state(self, arrays):
        cdef uint32_t[::1] node_connections = arrays["node_connections"]
        cdef int32_t[::1] node_oldest = arrays["node_oldest"]
        cdef int32_t[::1] node_newest = arrays["node_newest"]
        cdef learned_t[::1] learned = arrays["learned"]
        cdef fragment_queue_t[::1] fragments = arrays["fragments"]
        cdef uint8_t[::1] fragment_bytes = arrays["fragment_bytes"]
        cdef seen_t[::1] seen = arrays["seen"]
        cdef peer_t[::1] peers = arrays["peers"]
        cdef uint32_t[::1] peer_count = arrays["peer_count"]
        cdef budget_t[::1] budgets = arrays["budgets"]
        cdef uint64_t[::1] counters = arrays["counters"]
        cdef memory_t[::1] memory = arrays["memory"]
        cdef recent_t[::1] recent = arrays["recent"]
        cdef uint64_t[::1] recent_stamps = arrays["recent_stamps"]
        cdef hashlimit_t[::1] hashlimit = arrays["hashlimit"]
        cdef uint32_t[::1] hashlimit_buckets = arrays["hashlimit_buckets"]
        cdef counted_t[::1] counted = arrays["counted"]
        cdef uint32_t[::1] counted_buckets = arrays["counted_buckets"]
        cdef uint32_t[::1] counted_free = arrays["counted_free"]
        cdef uint32_t[::1] ip_ids = arrays["ip_ids"]
        cdef const choice_t[::1] choices = arrays["choices"]
        cdef const uint32_t[::1] choice_values = arrays["choice_values"]
        cdef uint32_t[::1] choice_used = arrays["choice_used"]
        # Rows that were listed come first, and the free list ends with their numbers.
        self.point_connections(<uint32_t>(
            len(arrays["free_list"]) - (arrays["connections"]["status"] >> 31).sum()))
        self.state.node_connections = &node_connections[0]
        self.state.node_oldest = &node_oldest[0]
        self.state.node_newest = &node_newest[0]
        self.state.fragments = &fragments[0]
        self.state.fragment_bytes = &fragment_bytes[0]
        self.state.learned = &learned[0]
        self.state.learned_mask = <uint32_t>learned.shape[0] - 1
        self.state.peers = &peers[0]
        self.state.peer_mask = <uint32_t>peers.shape[0] - 1
        self.state.peer_count = &peer_count[0]
        self.state.budgets = &budgets[0]
        self.state.seen = &seen[0]
        self.state.seen_mask = <uint32_t>seen.shape[0] - 1
        self.state.counters = &counters[0]
        self.state.memory = &memory[0]
        self.state.recent = &recent[0]
        self.state.recent_stamps = &recent_stamps[0]
        self.state.hashlimit = &hashlimit[0]
        self.state.hashlimit_buckets = &hashlimit_buckets[0]
        self.state.counted = &counted[0]
        self.state.counted_max = <uint32_t>counted.shape[0]
        self.state.counted_buckets = &counted_buckets[0]
        self.state.counted_bucket_mask = <uint32_t>counted_buckets.shape[0] - 1
        self.state.counted_free = &counted_free[0]
        self.state.ip_ids = &ip_ids[0]
        self.point_sets(arrays)
        self.state.choice_count = <uint32_t>choices.shape[0]
        if choices.shape[0]:
            self.state.choices = &choices[0]
        self.state.choice_values = &choice_values[0]
        self.state.choice_used = &choice_used[0]

    def point_sets(self, arrays):
        """Chains all elements: set_buckets, set_counts and set_lengths are zero."""
        cdef set_element_t[::1] elements = arrays["set_elements"]
        cdef int32_t[::1] buckets = arrays["set_buckets"]
        cdef uint32_t[::1] counts = arrays["set_counts"]
        cdef uint8_t[::1] uncertain = arrays["set_uncertain"]
        cdef uint32_t[::1] lengths = arrays["set_lengths"]
        cdef uint32_t[::1] used = arrays["set_used"]
        self.state.set_elements = &elements[0]
        self.state.set_buckets = &buckets[0]
        self.state.set_counts = &counts[0]
        self.state.set_uncertain = &uncertain[0]
        self.state.set_lengths = &lengths[0]
        self.state.set_element_max = <uint32_t>elements.shape[0]
        self.state.set_bucket_mask = <uint32_t>buckets.shape[0] - 1
        self.state.set_used = &used[0]
        self.state.set_element_free = -1
        sets_rehash(&self.state)

    def point_trace(self):
        """Take the addresses of the trace's arrays anew: after they have grown."""
        arrays = self.state_arrays
        cdef uint32_t[::1] steps = arrays["steps"]
        cdef uint32_t[::1] path_steps = arrays["path_steps"]
        cdef uint64_t[::1] path_start = arrays["path_start"]
        cdef uint64_t[::1] path_hash = arrays["path_hash"]
        cdef uint32_t[::1] path_slots = arrays["path_slots"]
        cdef uint64_t[::1] path_packets = arrays["path_packets"]
        cdef uint64_t[::1] path_bytes = arrays["path_bytes"]
        cdef uint32_t[::1] path_dirty = arrays["path_dirty"]
        cdef event_t[::1] events = arrays["events"]
        cdef tap_t[::1] taps = arrays["taps"]
        cdef uint8_t[::1] output = arrays["output"]
        cdef const uint8_t[::1] wanted = arrays["tap_wanted"]
        cdef const uint32_t[::1] base = self.image_arrays["base"]
        self.trace.steps = &steps[0]
        self.trace.path_steps = &path_steps[0]
        self.trace.path_start = &path_start[0]
        self.trace.path_hash = &path_hash[0]
        self.trace.path_packets = &path_packets[0]
        self.trace.path_bytes = &path_bytes[0]
        self.trace.dirty = &path_dirty[0]
        self.trace.dirty_count = 0          # nothing is left to put down between two runs
        self.trace.slot_mask = <uint32_t>path_slots.shape[0] - 1
        if self.trace.slots != &path_slots[0]:
            self.trace.slots = &path_slots[0]
            trace_rehash(&self.trace)
        self.trace.paths_max = <uint32_t>path_hash.shape[0]
        self.trace.path_steps_max = <uint64_t>path_steps.shape[0]
        self.trace.events = &events[0]
        self.trace.event_max = <uint32_t>events.shape[0] if events.shape[0] > 1 else 0
        self.trace.taps = &taps[0]
        self.trace.tap_max = <uint32_t>taps.shape[0] if taps.shape[0] > 1 else 0
        self.trace.output = &output[0]
        self.trace.output_max = <uint64_t>output.shape[0]
        self.trace.tap_wanted = &wanted[0]
        self.trace.base = &base[0]

    @property
    def paths(self):
        """How many distinct paths are stored."""
        return self.trace.paths

    def keep_paths(self, bint kept):
        """Whether packets' decisions are kept, as they are from the beginning.  Without them no way
        is recorded either: rules are counted by path on it.  To measure what keeping them costs."""
        self.trace.steps_kept = STEPS_MAX if kept else 0

    @property
    def lost(self):
        """Output frames that did not fit: floods past the reserve."""
        return self.trace.lost

    @property
    def taken(self):
        """(events, taps, bytes of output frames) since they were last taken."""
        return self.trace.event_count, self.trace.tap_count, self.trace.output_size

    @property
    def has_trace_room(self):
        """The trace has room for one more packet, whatever it does."""
        return bool(trace_has_room(&self.trace))

    @property
    def free_connections(self):
        return self.state.free_count

    @property
    def has_room(self):
        """A packet may be walked without growing anything first."""
        return bool(engine_has_room(self))

    def collect(self, uint64_t now_ns):
        """Free the connections whose time is up at `now_ns`; how many."""
        return conntrack_collect(&self.state, now_ns)

    def point_connections(self, uint32_t free_count):
        """Take the addresses of longer connection arrays, whose buckets are all -1.

        free_count  entries of the free list
        """
        arrays = self.state_arrays
        check_connections(arrays["connections"])
        cdef uint8_t[::1] connections = arrays["connections"].view("u1")
        cdef int32_t[::1] buckets = arrays["buckets"]
        cdef int32_t[::1] source_buckets = arrays["source_buckets"]
        cdef int32_t[::1] free_list = arrays["free_list"]
        cdef uint64_t[::1] accounting = arrays["accounting"]
        self.state.accounting = &accounting[0] if accounting.shape[0] else NULL
        self.state.connections = <connection_t*>&connections[0]
        self.state.connection_max = <uint32_t>len(arrays["connections"])
        self.state.buckets = &buckets[0]
        self.state.source_buckets = &source_buckets[0]
        self.state.free_list = &free_list[0]
        self.state.bucket_mask = <uint32_t>buckets.shape[0] - 1
        self.state.free_count = free_count
        conntrack_rehash(&self.state)

    def clear_output(self):
        """Events and output frames have been taken: begin anew."""
        self.trace.event_count = 0
        self.trace.tap_count = 0
        self.trace.output_size = 0

    def run_one(self, uint64_t time_ns, frame, uint32_t length, int32_t entry,
                record_t[::1] record not None, uint32_t number=0):
        """Walk one Ethernet frame.

        length   of the frame on the wire
        entry    device it arrives at; ~node for an IP packet that a process of the node sends
        record   (1,) RECORD, overwritten
        raises   IndexError for an entry that is not there, ValueError without room
        """
        cdef const uint8_t[::1] data = frame if len(frame) else b"\0"
        cdef uint32_t size = <uint32_t>min(len(frame), FRAME_MAX)
        if not (-<int64_t>self.image.node_count <= entry < <int64_t>self.image.device_count):
            raise IndexError(f"entry {entry}")
        if record.shape[0] < 1 or not self.has_room:
            raise ValueError("no room: grow the trace first")
        with nogil:
            packet_load(&self.packet, &data[0], size, max(length, size))
            packet_parse(&self.packet)
            record_begin(&record[0], &self.packet, number)
            record[0].time_ns = time_ns
            record[0].entry = entry
            run_packet(&self.walk, time_ns, entry, number)
            record_end(&record[0], &self.walk)


cdef bint engine_has_room(Engine engine) noexcept nogil:
    return (engine.state.free_count >= CONNECTIONS_RESERVE
            and trace_has_room(&engine.trace))


cdef void run_packet(walk_t* walk, uint64_t time_ns, int32_t entry, uint32_t number) noexcept nogil:
    walk.now_ns = time_ns
    if not walk.state.has_begun:
        sets_begin(walk.state, time_ns)
    walk.trace.count = 0
    walk.trace.packet = number
    walk.trace.tap_end = walk.trace.tap_count + TAPS_RESERVE        # it has room: engine_has_room
    walk.trace.output_end = walk.trace.output_size + OUTPUT_RESERVE
    if entry >= 0:
        walk_from_device(walk, entry)
    else:
        walk_from_node(walk, ~entry)
