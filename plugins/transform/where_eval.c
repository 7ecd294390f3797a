#include "number.h"
#include "where_program.h"

static const weir_value null_value = {.type = WEIR_V_NULL};

static const weir_value *resolve(const where_program *p, uint32_t operand, const weir_value *root);
static bool compare(uint32_t how, const weir_value *a, const weir_value *b, bool null_literal);

bool where_holds(const where_program *program, const weir_value *root) {
    bool truth = false;
    for (uint32_t at = 0; at < program->code_count;) {
        const where_code *code = &program->code[at++];
        switch (code->op) {
        case WHERE_CMP: {
            const weir_value *a = resolve(program, code->a, root);
            const weir_value *b = resolve(program, code->b, root);
            bool null_literal = (!(code->a & WHERE_PATH) && a->type == WEIR_V_NULL) ||
                                (!(code->b & WHERE_PATH) && b->type == WEIR_V_NULL);
            truth = compare(code->compare, a, b, null_literal);
            break;
        }
        case WHERE_TRUE: {
            const weir_value *a = resolve(program, code->a, root);
            truth = a->type == WEIR_V_BOOL && a->as.u64 != 0;
            break;
        }
        case WHERE_NOT:
            truth = !truth;
            break;
        case WHERE_JUMP_FALSE:
            if (!truth) at = code->a;
            break;
        default:
            if (truth) at = code->a;
            break;
        }
    }
    return truth;
}

static const weir_value *resolve(const where_program *p, uint32_t operand, const weir_value *root) {
    const where_path *path;
    const weir_value *v = root;
    if (!(operand & WHERE_PATH)) return &p->literals[operand];
    path = &p->paths[operand & ~WHERE_PATH];
    for (uint32_t i = 0; i < path->count && v != NULL; i++) {
        const where_step *step = &p->steps[path->first + i];
        v = step->name != NULL ? weir_value_member(v, step->name, step->len)
                               : weir_value_element(v, step->index);
    }
    return v != NULL ? v : &null_value;
}

static int order_bytes(const weir_value *a, const weir_value *b) {
    uint32_t least = a->size < b->size ? a->size : b->size;
    int order = least > 0 ? memcmp(a->as.ptr, b->as.ptr, least) : 0;
    if (order != 0) return order < 0 ? -1 : 1;
    return a->size < b->size ? -1 : a->size > b->size;
}

static bool equal(const weir_value *a, const weir_value *b, uint32_t depth);

/* Arrays and objects, node by node. */
static bool equal_containers(const weir_value *a, const weir_value *b, uint32_t depth) {
    const weir_value *x = a + 1;
    const weir_value *y = b + 1;
    uint64_t parts = a->type == WEIR_V_OBJECT ? (uint64_t)a->size * 2 : a->size;
    if (a->size != b->size || depth >= WHERE_VALUE_DEPTH_MAX) return false;
    for (uint64_t i = 0; i < parts; i++) {
        if (!equal(x, y, depth + 1)) return false;
        x = weir_value_next(x);
        y = weir_value_next(y);
    }
    return true;
}

static bool equal(const weir_value *a, const weir_value *b, uint32_t depth) {
    if (number_is(a) && number_is(b)) return number_compare(a, b) == 0;
    if (a->type != b->type || number_is(a) || number_is(b)) return false;
    switch (a->type) {
    case WEIR_V_NULL:
        return true;
    case WEIR_V_BOOL:
        return a->as.u64 == b->as.u64;
    case WEIR_V_STRING:
    case WEIR_V_BYTES:
        return order_bytes(a, b) == 0;
    default:
        return equal_containers(a, b, depth);
    }
}

static bool compare(uint32_t how, const weir_value *a, const weir_value *b, bool null_literal) {
    int order = NUMBER_UNORDERED;
    if (a->type == WEIR_V_NULL || b->type == WEIR_V_NULL) {
        bool both = a->type == b->type;
        return how == WHERE_EQ ? both : how == WHERE_NE ? !both && null_literal : false;
    }
    if (how == WHERE_EQ) return equal(a, b, 0);
    if (how == WHERE_NE) return !equal(a, b, 0);
    if (number_is(a) && number_is(b)) {
        order = number_compare(a, b);
    } else if (a->type == b->type && !number_is(a) && !number_is(b) &&
               (a->type == WEIR_V_STRING || a->type == WEIR_V_BYTES)) {
        order = order_bytes(a, b);
    }
    if (order == NUMBER_UNORDERED) return false;
    switch (how) {
    case WHERE_LT:
        return order < 0;
    case WHERE_LE:
        return order <= 0;
    case WHERE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}
